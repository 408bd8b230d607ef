-- The message of an attempt that is to follow is with the broker. Who receives it claims it; where nobody does within
-- ARGV[5] ms, a reaper sees whether it got lost.
if redis.call('HGET', key_of(id), 'state') == 'again' and redis.call('HGET', key_of(id), 'attempt') == ARGV[3] then
  redis.call('ZREM', claims, id)
  redis.call('EXPIRE', key_of(id), ARGV[4]) -- should it be lost for good, nobody comes for this record
  redis.call('ZADD', prefix .. 'queued', 'NX', now_ms(), id)
  watch(id, now_ms() + ARGV[5])
end
