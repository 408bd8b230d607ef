-- Write the final state of an execution, once. Gives `first`; `replaced` where it takes the place of `worker_lost`;
-- `no` where another one stands or the attempt is not the current one. Then what was parked for its ticket, if anything.
local token, status, outcome = ARGV[3], ARGV[4], ARGV[5]
local kept, patience, only_waiting = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1'
local key, now = key_of(id), now_ms()
local state, current = redis.call('HGET', key, 'state'), redis.call('HGET', key, 'token')

local said = redis.sha1hex(outcome)

if only_waiting and state ~= 'parked' and state ~= 'again' then
  return { 'no' }
end
if state == 'final' then
  if token == '' or token ~= current then
    return { 'no' }
  end
  if redis.call('HGET', key, 'said') == said then -- the answer to this was lost on its way: the same again
    local verdict = redis.call('HGET', key, 'verdict')
    return { verdict == 'first' and redis.call('HGET', key, 'delivered') == '1' and 'no' or verdict }
  end
  if redis.call('HGET', key, 'status') ~= 'worker_lost' then
    return { 'no' }
  end
  redis.call('HSET', key, 'status', status, 'said', said, 'verdict', 'replaced')
  return { 'replaced' }
end
if state then
  local runs = state == 'claimed' or state == 'begun'
  if runs and token ~= current or not runs and token ~= '' then
    return { 'no' }
  end
end
local parked = prefix .. 'parked:' .. (state == 'parked' and redis.call('HGET', key, 'ticket') or '')
redis.call('ZREM', parked, id)
local next = release(id, patience)
redis.call('HSET', key, 'state', 'final', 'status', status, 'outcome', outcome, 'finished', now, 'delivered', 0,
  'said', said, 'verdict', 'first')
for place, name in ipairs({ 'task_id', 'ref', 'attempt' }) do -- of what was never claimed
  redis.call('HSETNX', key, name, ARGV[8 + place])
end
redis.call('ZADD', claims, now + patience, id)
arrived(id)
redis.call('EXPIRE', key, kept)
return { 'first', next }
