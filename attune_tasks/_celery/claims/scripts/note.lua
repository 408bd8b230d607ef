-- Note a new execution, with what is known of it, for ARGV[4] seconds. Gives 0 where its id is taken.
local key = prefix .. 'execution:' .. id
if not redis.call('SET', key, ARGV[3], 'NX', 'EX', ARGV[4]) then
  return 0
end
redis.call('ZADD', prefix .. 'queued', now_ms(), id)
return 1
