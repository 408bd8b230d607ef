-- Look after claims whose time is over: all of them, or the one that ARGV[2] names. Gives what is to be done of each:
-- `again` (publish it), `lost` and `deliver` (store its result and go on with what follows), with id, attempt, message,
-- outcome, task id and ref. What is not done within `patience` ms comes up again.
local at_most, patience, kept = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local now, todo = now_ms(), {}
local resent_at_most = 10 -- a message that each worker is lost with before its action begins is not sent for ever
local due
if id == '' then
  due = redis.call('ZRANGEBYSCORE', claims, '-inf', now, 'LIMIT', 0, 100 * at_most)
else
  local score = redis.call('ZSCORE', claims, id)
  due = score and tonumber(score) <= now and { id } or {}
end

local function add(word, each)
  local key = key_of(each)
  redis.call('ZADD', claims, now + patience, each)
  local found = redis.call('HMGET', key, 'attempt', 'message', 'outcome', 'task_id', 'ref')
  todo[#todo + 1] = { word, each, found[1], found[2] or '', found[3] or '', found[4], found[5] }
end

-- A claim counts as expired where it was found unrenewed a third of its time before, too: after this server was stopped,
-- or out of reach, all are late, and who holds them gets time to renew them.
local function is_expired(each)
  local expires, suspected, ttl = unpack(redis.call('HMGET', key_of(each), 'expires', 'suspected', 'ttl'))
  if suspected == expires then
    return true
  end
  redis.call('HSET', key_of(each), 'suspected', expires)
  redis.call('ZADD', claims, math.max(expires, now + math.floor(ttl / 3)), each)
  return false
end

-- Have what a lost worker held go on: by the same attempt, by another one, or not at all.
local function take_over(each, state)
  local key = key_of(each)
  local next = release(each, patience)
  if next then
    add('again', next[1])
  end
  local attempt, attempts = unpack(redis.call('HMGET', key, 'attempt', 'attempts'))
  local republishable = redis.call('HGET', key, 'message') ~= ''
  if state == 'claimed' and republishable and redis.call('HINCRBY', key, 'resent', 1) <= resent_at_most then
    redis.call('HSET', key, 'state', 'again', 'token', '') -- it was not begun: the same attempt
    add('again', each)
  elseif state == 'begun' and tonumber(attempt) < tonumber(attempts) and republishable then
    redis.call('HSET', key, 'state', 'again', 'token', '', 'attempt', attempt + 1)
    add('again', each)
  else
    redis.call('HSET', key, 'state', 'final', 'status', 'worker_lost', 'outcome', '', 'finished', now, 'delivered', 0)
    redis.call('EXPIRE', key, kept)
    add('lost', each)
  end
end

for _, each in ipairs(due) do
  local key = key_of(each)
  local state = redis.call('HGET', key, 'state')
  if #todo >= at_most then
    break
  elseif state == 'claimed' or state == 'begun' then
    if is_expired(each) then
      take_over(each, state)
    end
  elseif state == 'again' then
    add('again', each)
  elseif state == 'parked' then -- it waited for its ticket until it expired: who receives it sees that, and ends it
    unpark(each, redis.call('HGET', key, 'ticket') or '', now)
    redis.call('HDEL', key, 'ticket')
    add('again', each)
  elseif state == 'final' and redis.call('HGET', key, 'delivered') ~= '1' then
    add(redis.call('HGET', key, 'status') == 'worker_lost' and 'lost' or 'deliver', each)
  else
    redis.call('ZREM', claims, each)
  end
end
return todo
