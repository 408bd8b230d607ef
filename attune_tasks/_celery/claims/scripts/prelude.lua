-- What the scripts share. All keys begin with ARGV[1], whose hash tag keeps them in one slot of a cluster.
local prefix, id = ARGV[1], ARGV[2]
local claims = prefix .. 'claims'

local function key_of(each)
  return prefix .. 'claim:' .. each
end

-- Milliseconds by the clock of this server, the only one that counts.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Store one of Celery's states as its result backend does, in the same step: no end can come between. KEYS[2] names the
-- key; where there is none, nothing is stored.
local function store_state(meta, seconds)
  if not KEYS[2] then
    return
  elseif seconds > 0 then
    redis.call('SETEX', KEYS[2], seconds, meta)
  else
    redis.call('SET', KEYS[2], meta)
  end
  redis.call('PUBLISH', KEYS[2], meta)
end

-- Hold a claim for `ttl` ms from now. A reaper looks after half of it, and again before it takes the claim for expired.
local function hold(each, now, ttl)
  redis.call('HSET', key_of(each), 'expires', now + ttl, 'ttl', ttl)
  redis.call('ZADD', claims, now + math.floor(ttl / 2), each)
end

-- Have a reaper see, from `time` on, whether anybody has claimed an execution whose message is with the broker.
local function watch(each, time)
  redis.call('ZADD', prefix .. 'unclaimed', time, each)
end

-- Nobody need send its message again: it has arrived, or is needed no more.
local function arrived(each)
  redis.call('ZREM', prefix .. 'queued', each)
  redis.call('ZREM', prefix .. 'unclaimed', each)
  redis.call('DEL', prefix .. 'message:' .. each)
end

-- Have an execution that is parked go on: its record becomes `again`, to be published.
local function unpark(each, ticket, time)
  redis.call('ZREM', prefix .. 'parked:' .. ticket, each)
  redis.call('HSET', key_of(each), 'state', 'again')
  redis.call('ZADD', claims, time, each)
end

-- Give the ticket of an execution back, and let the first one that is parked for it go on: to be published within
-- `patience` ms by whoever called this; else a reaper does. Gives id, attempt, message. Where the limit was raised
-- since, more go on: a reaper publishes them.
local function release(each, patience)
  local ticket, limit = unpack(redis.call('HMGET', key_of(each), 'ticket', 'limit'))
  if not ticket or ticket == '' then
    return nil
  end
  redis.call('HDEL', key_of(each), 'ticket')
  local tickets = prefix .. 'tickets:' .. ticket
  if redis.call('ZREM', tickets, each) == 0 then
    return nil -- it had none: it was parked itself
  end
  local now, woken = now_ms(), nil
  for _, first in ipairs(redis.call('ZRANGE', prefix .. 'parked:' .. ticket, 0, -1)) do
    if woken and redis.call('ZCARD', tickets) >= tonumber(limit or 1) then
      break
    elseif redis.call('HGET', key_of(first), 'state') == 'parked' then
      redis.call('ZADD', tickets, now, first) -- nobody who comes now is quicker
      unpark(first, ticket, woken and now or now + patience)
      woken = woken or { first, redis.call('HGET', key_of(first), 'attempt'), redis.call('HGET', key_of(first), 'message') }
    else
      redis.call('ZREM', prefix .. 'parked:' .. ticket, first)
    end
  end
  return woken
end
