-- Give executions that are not over: at most ARGV[3] of those that are claimed, then as many of those that wait. Each as
-- id, milliseconds since its state began, state, ref, worker, attempt, and what was noted of it.
local at_most, now, found = tonumber(ARGV[3]), now_ms(), {}

local function add(each, since)
  local record = redis.call('HMGET', key_of(each), 'state', 'ref', 'worker', 'attempt', 'begun', 'since')
  local noted = redis.call('GET', prefix .. 'execution:' .. each)
  if not record[1] and not noted then
    redis.call('ZREM', prefix .. 'queued', each) -- its time is over, and nobody has had its message
  elseif record[1] ~= 'final' then
    local began = tonumber(record[5] and record[1] == 'begun' and record[5] or record[6] or since)
    found[#found + 1] = { each, math.max(0, now - began), record[1] or 'queued', record[2] or '', record[3] or '',
      record[4] or '1', noted or '' }
  end
end

local seen = {}
for _, each in ipairs(redis.call('ZRANGE', claims, 0, at_most - 1)) do
  seen[each] = true
  add(each, now)
end
local waiting = redis.call('ZRANGE', prefix .. 'queued', 0, at_most - 1, 'WITHSCORES')
for place = 1, #waiting, 2 do
  if not seen[waiting[place]] then
    add(waiting[place], tonumber(waiting[place + 1]))
  end
end
return found
