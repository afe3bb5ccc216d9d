"""What Redis does in one step for `worker.limits`: Lua, each script behind `NOW`.

A window is a sorted set: a member for each call, its score the time at which its slot is free again.
"""

NOW = """
local now = tonumber(redis.call('TIME')[1]) + tonumber(redis.call('TIME')[2]) / 1000000
"""
"""What each script begins with: the clock of Redis, which all machines share."""
TAKE = """
local paused = math.max(redis.call('PTTL', KEYS[1]), redis.call('PTTL', KEYS[2]))
if paused > 0 then return {0, tostring(paused / 1000), 0} end
local want, hold = tonumber(ARGV[1]), tonumber(ARGV[2])
local wait, room = 0, 1000000
for i = 3, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
  local free = tonumber(ARGV[1 + (i - 2) * 2]) - redis.call('ZCARD', KEYS[i])
  if free < want then
    want = math.max(free, 0)
    if want == 0 then
      local first = redis.call('ZRANGE', KEYS[i], 0, 0, 'WITHSCORES')
      local left = first[2] and tonumber(first[2]) - now or 0
      local per = tonumber(ARGV[2 + (i - 2) * 2])
      -- the first slot may belong to a call in flight: nobody knows when it ends, so ask again soon
      wait = math.max(wait, left > per and 0.2 or left)
    end
  end
end
for i = 3, #KEYS do
  local per = tonumber(ARGV[2 + (i - 2) * 2])
  for n = 1, want do
    redis.call('ZADD', KEYS[i], now + hold + per, ARGV[#ARGV] .. ':' .. n)
  end
  if want > 0 then redis.call('PEXPIRE', KEYS[i], math.ceil((hold + per) * 1000)) end
  if per > 0 then room = math.min(room, tonumber(ARGV[1 + (i - 2) * 2]) - redis.call('ZCARD', KEYS[i])) end
end
return {want, tostring(wait), room}
"""
RELEASE = """
for i = 1, #KEYS do
  local per = tonumber(ARGV[i])
  for n = #KEYS + 2, #ARGV do
    if per > 0 and ARGV[#KEYS + 1] == 'used' then
      redis.call('ZADD', KEYS[i], 'XX', now + per, ARGV[n])
    else
      redis.call('ZREM', KEYS[i], ARGV[n])
    end
  end
end
return 0
"""
TAKEN = """
local found = {}
for i = 1, #KEYS do
  local left = {}
  for n, score in ipairs(redis.call('ZRANGEBYSCORE', KEYS[i], now, '+inf', 'WITHSCORES')) do
    if n % 2 == 0 then left[n / 2] = tostring(tonumber(score) - now) end
  end
  found[i] = left
end
return found
"""
