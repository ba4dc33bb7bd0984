"""The Lua scripts of the counters. KEYS[1] is the prefix of all keys; values stay text, so that none loses digits.

A script that fails in the middle is not rolled back. Therefore each one checks everything before its first write.
"""

ADD = """
local prefix, scope, mark = KEYS[1], ARGV[1], ARGV[2]
local closed = redis.call('LLEN', prefix .. 'stats-order')
if mark ~= '' then
  for number = math.max(0, closed - tonumber(ARGV[3])), closed do
    if redis.call('SISMEMBER', prefix .. 'stats-marks:' .. number, mark) == 1 then return 0 end
  end
end
local counters = prefix .. 'stats:' .. scope
for i = 5, #ARGV, 2 do
  local value = tonumber(redis.call('HGET', counters, ARGV[i]) or '0')
  if value > tonumber(ARGV[4]) - tonumber(ARGV[i + 1]) then return 'too high:' .. ARGV[i] end
end
if mark ~= '' then redis.call('SADD', prefix .. 'stats-marks:' .. closed, mark) end
if #ARGV > 4 then redis.call('SADD', prefix .. 'stats-scopes', scope) end
for i = 5, #ARGV, 2 do redis.call('HINCRBY', counters, ARGV[i], ARGV[i + 1]) end
return 1
"""
"""Arguments: scope, mark or nothing, closed intervals that keep marks, highest value, then names and deltas."""

_COUNTS = """
local function counts_of(prefix, scopes)
  local counts = {}
  for _, scope in ipairs(scopes) do
    local flat, own = redis.call('HGETALL', prefix .. 'stats:' .. scope), {}
    for i = 1, #flat, 2 do own[flat[i]] = flat[i + 1] end
    counts[scope] = own
  end
  return cjson.encode(counts)
end
"""

READ_ALL = f"""{_COUNTS}
return counts_of(KEYS[1], redis.call('SMEMBERS', KEYS[1] .. 'stats-scopes'))
"""

CLOSE = f"""{_COUNTS}
local prefix, name = KEYS[1], ARGV[1]
local archived = redis.call('HGET', prefix .. 'stats-intervals', name)
if archived then return archived end
local scopes = redis.call('SMEMBERS', prefix .. 'stats-scopes')
local counts = counts_of(prefix, scopes)
local kept = {{}}
for i = 3, #ARGV do kept[ARGV[i]] = true end
redis.call('HSET', prefix .. 'stats-intervals', name, counts)
local closed = redis.call('RPUSH', prefix .. 'stats-order', name)
for _, scope in ipairs(scopes) do
  local counters = prefix .. 'stats:' .. scope
  for _, counter in ipairs(redis.call('HKEYS', counters)) do
    if not kept[counter] then redis.call('HDEL', counters, counter) end
  end
  if redis.call('EXISTS', counters) == 0 then redis.call('SREM', prefix .. 'stats-scopes', scope) end
end
redis.call('UNLINK', prefix .. 'stats-marks:' .. (closed - tonumber(ARGV[2]) - 1))
return counts
"""
"""Arguments: the interval, closed intervals that keep marks, and the counters that continue."""

FORGET = """
local prefix = KEYS[1]
local removed = {}
for _, name in ipairs(redis.call('LRANGE', prefix .. 'stats-order', 0, -1 - tonumber(ARGV[1]))) do
  if redis.call('HGET', prefix .. 'stats-intervals', name) ~= '' then
    redis.call('HSET', prefix .. 'stats-intervals', name, '')
    removed[#removed + 1] = name
  end
end
return removed
"""
"""Argument: the number of intervals whose counts stay."""
