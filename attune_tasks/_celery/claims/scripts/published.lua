-- The message of an attempt is with the broker, again. Who receives it claims it; where nobody does within ARGV[5] ms, a
-- reaper sees whether it got lost.
local state, attempt = unpack(redis.call('HMGET', key_of(id), 'state', 'attempt'))
if state == 'again' and attempt == ARGV[3] then
  redis.call('ZREM', claims, id)
  redis.call('EXPIRE', key_of(id), ARGV[4]) -- should it be lost for good, nobody comes for this record
elseif state then
  return -- somebody was quicker
end
redis.call('ZADD', prefix .. 'queued', now_ms(), id)
watch(id, now_ms() + ARGV[5])
