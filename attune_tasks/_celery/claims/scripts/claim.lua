-- Claim an execution for one attempt. Gives `claimed`; `held` where a claim stands; `expired` where a reaper has to
-- look first; `old` for a message of an attempt that is over; `final` where nothing is left to do.
local token, attempt, ttl, worker, mine = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], ARGV[7] == '1'
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
if state == 'parked' then
  return 'held'
end
if state and attempt ~= tonumber(redis.call('HGET', key, 'attempt')) then
  return 'old'
end

local given = {}
for place = 8, #ARGV do
  given[#given + 1] = ARGV[place] -- names and values: task_id, ref, attempts, message
end
redis.call('HSET', key, 'state', 'claimed', 'token', token, 'attempt', attempt, 'worker', worker,
  'since', now, unpack(given))
redis.call('PERSIST', key)
hold(id, now, ttl)
arrived(id)
return 'claimed'
