-- Claim an execution for one attempt. Gives `claimed`; `parked` or `conflict` where its ticket is not to be had;
-- `held` where a claim stands; `expired` where a reaper has to look first; `old` for a message of an attempt that is
-- over; `final` where nothing is left to do.
local token, attempt, ttl, worker, mine = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], ARGV[7] == '1'
local ticket, limit, on_conflict = ARGV[8], tonumber(ARGV[9]), ARGV[10]
local key, now = key_of(id), now_ms()
local state = redis.call('HGET', key, 'state')

if state == 'final' then
  return 'final'
end
if state == 'claimed' or state == 'begun' then
  -- The same worker may take up again what it has not begun: its connection was lost, and the message came again.
  if not (mine and state == 'claimed' and redis.call('HGET', key, 'worker') == worker) then
    return tonumber(redis.call('HGET', key, 'expires')) > now and 'held' or 'expired'
  end
end
if state and attempt ~= tonumber(redis.call('HGET', key, 'attempt')) then
  return 'old'
end

local given = { 'token', token, 'attempt', attempt, 'worker', worker }
for place = 11, #ARGV do
  given[#given + 1] = ARGV[place] -- names and values: task_id, ref, attempts, message
end
if ticket ~= '' then
  local tickets = prefix .. 'tickets:' .. ticket
  if not redis.call('ZSCORE', tickets, id) then
    for _, holder in ipairs(redis.call('ZRANGE', tickets, 0, -1)) do
      local held = redis.call('HGET', key_of(holder), 'state')
      if held ~= 'claimed' and held ~= 'begun' then
        redis.call('ZREM', tickets, holder) -- its record is gone: no ticket is lost with it
      end
    end
    if redis.call('ZCARD', tickets) >= limit then
      if on_conflict == 'fail' then
        return 'conflict'
      end
      redis.call('HSET', key, 'state', 'parked', 'ticket', ticket, 'since', now, unpack(given))
      redis.call('PERSIST', key)
      redis.call('ZADD', prefix .. 'parked:' .. ticket, 'NX', now, id)
      redis.call('ZREM', claims, id)
      redis.call('ZREM', prefix .. 'queued', id)
      return 'parked'
    end
    redis.call('ZADD', tickets, now, id)
  end
end
redis.call('HSET', key, 'state', 'claimed', 'ticket', ticket, 'expires', now + ttl, 'since', now, unpack(given))
redis.call('PERSIST', key)
redis.call('ZADD', claims, now + ttl, id)
redis.call('ZREM', prefix .. 'queued', id)
return 'claimed'
