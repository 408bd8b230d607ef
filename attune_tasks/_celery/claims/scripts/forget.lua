-- Forget an execution that was noted as ARGV[3] and could not be sent; what another caller has noted stays.
local key = prefix .. 'execution:' .. id
if redis.call('GET', key) == ARGV[3] then
  redis.call('DEL', key)
  arrived(id)
end
