-- Put off the expiry of claims, given as ids and tokens. Gives the ids of those that are another's by now.
local ttl, now, lost = tonumber(ARGV[3]), now_ms(), {}
for place = 4, #ARGV, 2 do
  local each, token = ARGV[place], ARGV[place + 1]
  local state = redis.call('HGET', key_of(each), 'state')
  if (state == 'claimed' or state == 'begun') and redis.call('HGET', key_of(each), 'token') == token then
    redis.call('HSET', key_of(each), 'expires', now + ttl)
    redis.call('ZADD', claims, now + ttl, each)
  else
    lost[#lost + 1] = each
  end
end
return lost
