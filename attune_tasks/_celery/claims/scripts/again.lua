-- End an attempt which another one follows: until `published` is said of that, a reaper may publish it. Gives whether
-- the claim was still ours, the message, and what was parked for its ticket, if anything.
local token, attempt, patience = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local meta, meta_seconds = ARGV[6], tonumber(ARGV[7])
local key = key_of(id)
local state = redis.call('HGET', key, 'state')
if state == 'again' and redis.call('HGET', key, 'ended') == token then -- the answer to this was lost on its way
  return { 1, redis.call('HGET', key, 'message') }
end
if (state ~= 'claimed' and state ~= 'begun') or redis.call('HGET', key, 'token') ~= token then
  return { 0 }
end
local next = release(id, patience)
redis.call('HSET', key, 'state', 'again', 'attempt', attempt, 'token', '', 'ended', token)
redis.call('ZADD', claims, now_ms() + patience, id)
redis.call('ZADD', prefix .. 'queued', now_ms(), id)
store_state(meta, meta_seconds)
return { 1, redis.call('HGET', key, 'message'), next }
