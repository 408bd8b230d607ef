-- Give executions which nobody has claimed in time, at most ARGV[3], to see whether their messages got lost. Each as id,
-- attempt, message, and when it was queued. It comes up again after as long as it has waited, but not within `patience`.
local at_most, patience, now, found = tonumber(ARGV[3]), tonumber(ARGV[4]), now_ms(), {}
local unclaimed = prefix .. 'unclaimed'
for _, each in ipairs(redis.call('ZRANGEBYSCORE', unclaimed, '-inf', now, 'LIMIT', 0, at_most)) do
  local state, attempt, message = unpack(redis.call('HMGET', key_of(each), 'state', 'attempt', 'message'))
  local since = redis.call('ZSCORE', prefix .. 'queued', each)
  if not state then
    attempt, message = '1', redis.call('GET', prefix .. 'message:' .. each)
  end
  if (state and state ~= 'again') or not message or message == '' or not since then
    redis.call('ZREM', unclaimed, each)
  else
    redis.call('ZADD', unclaimed, now + math.max(patience, now - tonumber(since)), each)
    found[#found + 1] = { each, attempt, message, since }
  end
end
return found
