-- Of these executions, given by their ids, the result is stored and all that follows it was sent.
local kept = tonumber(ARGV[3])
for place = 4, #ARGV do
  local key = key_of(ARGV[place])
  if redis.call('HGET', key, 'state') == 'final' then
    redis.call('HSET', key, 'delivered', 1)
    redis.call('HDEL', key, 'message', 'outcome')
    redis.call('ZREM', claims, ARGV[place])
    redis.call('EXPIRE', key, kept)
  end
end
