-- A code, in the place of the one before. KEYS: the mailbox, and all of the tenant's, by when they last had a code.
-- ARGV: the purpose, the code's hash; a code's lifetime in ms and how many may be made in it; a day in ms and how many in that; how
-- many mailboxes may have codes. Answers 0, how long to wait in ms, or -1 when there is no room.
local purpose, code = ARGV[1], ARGV[2]
local lifetime, at_once, day, a_day = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- When its codes of the last day were made, oldest first.
local made = {}
for at in string.gmatch(redis.call('HGET', KEYS[1], 'made') or '', '%d+') do
  if now - at < day then
    -- one of the future, after the clock was set back, makes nobody wait for longer than one of now
    made[#made + 1] = math.min(tonumber(at), now)
  end
end
local function wait(count, span)
  local nth_last = made[#made - count + 1]
  return nth_last and nth_last + span - now or 0
end
local longest = math.max(wait(at_once, lifetime), wait(a_day, day))
if longest > 0 then
  return longest
end

redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - day)
local known = redis.call('ZSCORE', KEYS[2], KEYS[1])
if not known and redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[7]) then
  return -1
end
redis.call('ZADD', KEYS[2], now, KEYS[1])
redis.call('PEXPIRE', KEYS[2], day)

made[#made + 1] = now
for n, at in ipairs(made) do
  made[n] = string.format('%.0f', at)
end
redis.call('HSET', KEYS[1], 'made', table.concat(made, ' '),
  'code:' .. purpose, code, 'at:' .. purpose, made[#made], 'tries:' .. purpose, 0)
redis.call('PEXPIRE', KEYS[1], day)
return 0
