-- Give up a claim that was not begun: the worker ends, or has lost its connection, and its message with it. Gives whether
-- the claim was still ours, the message, and what was parked for its ticket, if anything.
local key = key_of(id)
if redis.call('HGET', key, 'state') ~= 'claimed' or redis.call('HGET', key, 'token') ~= ARGV[3] then
  return { 0 }
end
local next = release(id, tonumber(ARGV[4]))
redis.call('HSET', key, 'state', 'again', 'token', '')
redis.call('ZADD', claims, now_ms() + tonumber(ARGV[4]), id)
return { 1, redis.call('HGET', key, 'message'), next }
