-- Take a ticket for a claimed execution. Gives `taken`; `conflict` where as many run as may and it is not to wait;
-- `parked` where it waits: its claim is over then, and the one who gives a ticket back has it published again; `lost`
-- where the claim is another's by now.
local token, ticket, limit, on_conflict = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local expires_in = tonumber(ARGV[7]) -- ms; a reaper has the message of what is parked then published, to be revoked
local key, tickets = key_of(id), prefix .. 'tickets:' .. ARGV[4]
if redis.call('HGET', key, 'state') ~= 'claimed' or redis.call('HGET', key, 'token') ~= token then
  return 'lost'
end
redis.call('HSET', key, 'limit', limit)
if redis.call('ZSCORE', tickets, id) then
  return 'taken'
end
for _, holder in ipairs(redis.call('ZRANGE', tickets, 0, -1)) do
  local held = redis.call('HMGET', key_of(holder), 'state', 'ticket')
  if held[1] == 'final' or held[1] == 'parked' or held[2] ~= ticket then
    redis.call('ZREM', tickets, holder) -- its record is gone: no ticket is lost with it
  end
end
if redis.call('ZCARD', tickets) < limit then
  redis.call('ZADD', tickets, now_ms(), id)
  redis.call('HSET', key, 'ticket', ticket)
  return 'taken'
end
if on_conflict == 'fail' then
  return 'conflict'
end
redis.call('HSET', key, 'state', 'parked', 'token', '', 'ticket', ticket)
redis.call('HSETNX', key, 'parked', now_ms())
redis.call('ZADD', prefix .. 'parked:' .. ticket, 'NX', redis.call('HGET', key, 'parked'), id)
redis.call('ZADD', prefix .. 'queued', 'NX', redis.call('HGET', key, 'since'), id)
if expires_in then
  redis.call('ZADD', claims, now_ms() + expires_in, id)
else
  redis.call('ZREM', claims, id)
end
return 'parked'
