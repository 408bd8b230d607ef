-- The message of an attempt that is to follow is with the broker: no reaper need look after it.
if redis.call('HGET', key_of(id), 'state') == 'again' and redis.call('HGET', key_of(id), 'attempt') == ARGV[3] then
  redis.call('ZREM', claims, id)
  redis.call('EXPIRE', key_of(id), ARGV[4]) -- should the broker lose it, nobody comes for this record
end
