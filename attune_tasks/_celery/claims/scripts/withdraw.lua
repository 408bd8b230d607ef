-- Give up a claim that was not begun: the worker ends, and its message goes back to the broker.
local key = key_of(id)
if redis.call('HGET', key, 'state') == 'claimed' and redis.call('HGET', key, 'token') == ARGV[3] then
  local next = release(id, tonumber(ARGV[4]))
  redis.call('HSET', key, 'state', 'again', 'token', '')
  redis.call('ZADD', claims, now_ms() + tonumber(ARGV[4]), id)
  return next
end
