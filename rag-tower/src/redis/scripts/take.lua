-- One ask from an allowance: GCRA, `Quota::step` on this clock. KEYS: the allowance. ARGV: interval and tolerance, in ns.
-- Answers 0 when the ask may run, else for how long to wait, in ns.
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local second, nanos = tonumber(time[1]), time[2] * 1000

-- A point in time is kept as two numbers, seconds and nanoseconds: one alone would have no room for the nanoseconds.
local ahead = 0
local s, n = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+)$')
if s then
  ahead = math.max(0, (s - second) * 1e9 + (n - nanos))
end
-- No quota lets it lie more than a minute ahead: the clock was set back, and what was kept says nothing.
if ahead > 60e9 then
  ahead = 0
end

if ahead > tolerance then
  return ahead - tolerance
end
ahead = ahead + interval
local sum = nanos + ahead
local arrival = string.format('%.0f %.0f', second + math.floor(sum / 1e9), sum % 1e9)
-- A millisecond more, since it ends with a whole one.
redis.call('SET', KEYS[1], arrival, 'PX', math.ceil(ahead / 1e6) + 1)
return 0
