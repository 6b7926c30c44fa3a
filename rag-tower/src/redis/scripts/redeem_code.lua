-- Spends a try of a code. KEYS: the mailbox. ARGV: the purpose, the hash of what was typed; a code's lifetime in ms, and its tries.
-- Answers 1 when it is this one, else 0. Both are keyed hashes, so how long comparing them takes tells nothing of the code.
local purpose = ARGV[1]
local fields = { 'code:' .. purpose, 'at:' .. purpose, 'tries:' .. purpose }
local code, at, tries = unpack(redis.call('HMGET', KEYS[1], unpack(fields)))
if not code then
  return 0
end
local time = redis.call('TIME')
local age = time[1] * 1000 + math.floor(time[2] / 1000) - at
-- one of the future, after the clock was set back, is as old as it may be
local counts = age >= 0 and age < tonumber(ARGV[3])
local right = counts and code == ARGV[2]
if right or not counts or tries + 1 >= tonumber(ARGV[4]) then
  redis.call('HDEL', KEYS[1], unpack(fields))
else
  redis.call('HINCRBY', KEYS[1], fields[3], 1)
end
return right and 1 or 0
