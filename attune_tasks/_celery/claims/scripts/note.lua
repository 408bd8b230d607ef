-- Note a new execution, with what is known of it, for ARGV[4] seconds. Gives 0 where its id is taken.
local key = prefix .. 'execution:' .. id
if not redis.call('SET', key, ARGV[3], 'NX', 'EX', ARGV[4]) then
  return redis.call('GET', key) == ARGV[3] and 1 or 0 -- 1: the answer to this was lost on its way
end
local month = 30 * 86400 * 1000
if ARGV[5] == '1' then
  local queued = prefix .. 'queued'
  redis.call('ZADD', queued, now_ms(), id)
  redis.call('ZREMRANGEBYSCORE', queued, '-inf', now_ms() - month) -- whose messages somebody has thrown away
  redis.call('PEXPIRE', queued, month)
end
if ARGV[6] ~= '' then -- its message, which a reaper may send again where nobody claims it within ARGV[7] ms
  redis.call('SET', prefix .. 'message:' .. id, ARGV[6], 'EX', ARGV[4])
  redis.call('ZREMRANGEBYSCORE', prefix .. 'unclaimed', '-inf', now_ms() - month)
  watch(id, now_ms() + ARGV[7])
end
return 1
