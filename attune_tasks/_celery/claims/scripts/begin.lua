-- Begin a claimed attempt: from here on its action may have run. Stores Celery's STARTED in the same step, where
-- KEYS[2] names its key. Gives 1; 0 where the claim is another's by now.
local token, ttl, meta, meta_seconds = ARGV[3], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local key, now = key_of(id), now_ms()
local state = redis.call('HGET', key, 'state')
if (state ~= 'claimed' and state ~= 'begun') or redis.call('HGET', key, 'token') ~= token then
  return 0
end
redis.call('HSET', key, 'state', 'begun', 'begun', now)
hold(id, now, ttl)
store_state(meta, meta_seconds)
return 1
