-- Put off the expiry of claims, given as ids and tokens. Gives the ids of those that are another's by now.
local ttl, now, lost = tonumber(ARGV[3]), now_ms(), {}
-- Where the server's memory is full, a script may go on with what takes memory once it has written something else:
-- a renewal takes none, and without it all that runs would soon count as lost.
redis.call('ZREM', claims, '')
for place = 4, #ARGV, 2 do
  local each, token = ARGV[place], ARGV[place + 1]
  local state = redis.call('HGET', key_of(each), 'state')
  if (state == 'claimed' or state == 'begun') and redis.call('HGET', key_of(each), 'token') == token then
    hold(each, now, ttl)
  else
    lost[#lost + 1] = each
  end
end
return lost
