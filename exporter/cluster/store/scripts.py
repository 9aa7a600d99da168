"""The Lua scripts that run in the store.  Each is atomic, and changes only what is as its caller saw it.

Keys, all below the prefix: `epoch` (hash: the server's run ID, the epoch, from when on it grants, counters, the account
that changed hands last: if `holders` lacks it, that key was evicted, and the epoch is over), `members`
(replica to when it joined and what it says of itself), `beats` (replica to its count of contacts), `lists` (replica to
the names of its accounts), `holders` (account to token and replica), `paces` (account to pace), `entries` (number to
its last answer) and `log` (sorted set: number to the count of that answer).

The server's own clock serves for two things: how long a new epoch grants nothing to replicas that did not see the old
one, and how old an answer is for a replica that starts.
"""

from __future__ import annotations

FOREIGN = "the store holds what no exporter writes"
"""How a script says that another program wrote into its keys."""

KEYS = ("epoch", "members", "beats", "lists", "holders", "paces", "entries", "log")

_COMMON = (
    f"local function foreign() error('{FOREIGN}') end"
    """
local epoch, members, beats, lists, holders, paces, entries, log = unpack(KEYS)
local function milliseconds()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function text(number) return string.format('%.0f', number) end
local function run_id() return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or '' end
local function is_used() return redis.call('HEXISTS', epoch, 'run') == 1 end  -- else nothing but a contact writes
local function changed() return is_used() and redis.call('HINCRBY', epoch, 'change', 1) end
local function lost_holders(account)  -- an account that was held stays in the table
  return account and redis.call('HEXISTS', holders, account) == 0
end
local function is_epoch(id)
  local known = redis.call('HMGET', epoch, 'run', 'id', 'account')
  return known[1] == run_id() and known[2] == id and not lost_holders(known[3])
end
local function is_open(now)
  return now >= tonumber(redis.call('HGET', epoch, 'opens'))
end
local function holding(account)
  local found = redis.call('HGET', holders, account)
  if not found then return 0, '' end
  local token, holder = string.match(found, '^(%d+)|(.*)$')
  return tonumber(token or foreign()), holder
end
local function bounded(found, most_items, most_bytes)  -- else what another program wrote fills a replica's memory
  local is_small = #found <= most_items
  for i = 1, is_small and #found or 0 do is_small = is_small and #found[i] <= most_bytes end
  return is_small and found or foreign()
end
local function hold(account, token, holder)
  redis.call('HSET', holders, account, text(token) .. '|' .. holder)
  redis.call('HSET', epoch, 'account', account)
  changed()
end
"""
)

CONTACT = (
    _COMMON
    + """
-- ARGV: replica, number of the contact, what it says of itself, the epoch and change it knows, how long to hold back
-- grants in a new epoch (ms), a name for a new epoch; then account, token, pace for each pace that changed.
local me, number, about, known = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local hold_ms, fresh = tonumber(ARGV[5]), ARGV[6]
local now, run = milliseconds(), run_id()
local facts = redis.call('HMGET', epoch, 'opens', 'hold', 'change', 'joined', 'answers', 'run', 'id', 'account')
local has_keys = not facts[6] and redis.pcall('EXISTS', unpack(KEYS))  -- an error for a user with fewer rights
if type(has_keys) == 'number' and has_keys > 0 then foreign() end
for i = 1, 5 do
  if facts[i] and (#facts[i] > 15 or not string.match(facts[i], '^%d+$')) then foreign() end
end
local opens, held, id = tonumber(facts[1] or 0), tonumber(facts[2] or 0), facts[7]
if facts[6] ~= run or not (id and facts[1] and facts[2] and facts[3]) or lost_holders(facts[8]) then
  id, opens, held = fresh, now + hold_ms, hold_ms
  redis.call('HDEL', epoch, 'account')
  redis.call('HSET', epoch, 'run', run, 'id', id, 'opens', text(opens), 'hold', text(held))
  changed()
elseif hold_ms > held and now < opens then
  opens, held = opens + hold_ms - held, hold_ms
  redis.call('HSET', epoch, 'opens', text(opens), 'hold', text(held))
end
if opens - now > held then  -- the clock was set back
  opens = now + held
  redis.call('HSET', epoch, 'opens', text(opens))
end
if number > (tonumber(redis.call('HGET', beats, me) or -1) or -1) then redis.call('HSET', beats, me, number) end
local before = redis.call('HGET', members, me)
local joined = string.match(before or '', '^(%d+)|') or text(redis.call('HINCRBY', epoch, 'joined', 1))
if before ~= joined .. '|' .. about then
  redis.call('HSET', members, me, joined .. '|' .. about)
  changed()
end
for i = 7, #ARGV, 3 do
  local token, holder = holding(ARGV[i])
  if holder == me and token == tonumber(ARGV[i + 1]) then redis.call('HSET', paces, ARGV[i], ARGV[i + 2]) end
end
local change = redis.call('HGET', epoch, 'change')
local reply = {id, math.max(0, opens - now), held, tonumber(change), redis.call('HEXISTS', lists, me),
  bounded(redis.call('HGETALL', beats), 512, 1024)}
if known ~= id .. ':' .. change then
  reply[7] = bounded(redis.call('HGETALL', members), 512, 1024)
  reply[8] = bounded(redis.call('HGETALL', holders), 40000, 1024)
  reply[9] = bounded(redis.call('HGETALL', paces), 40000, 1024)
end
return reply
"""
)
"""A replica says that it is alive, which renews all its leases, and learns what changed."""

PUBLISH = (
    _COMMON
    + """
-- ARGV: replica, the names of its accounts.
return is_used() and redis.call('HSET', lists, ARGV[1], ARGV[2]) or 0
"""
)
"""Tell the names of a replica's accounts."""

LIST = (
    _COMMON
    + """
-- ARGV: replica, the most bytes of its list.
return bounded({redis.call('HGET', lists, ARGV[1]) or ''}, 1, tonumber(ARGV[2]))[1]
"""
)
"""The names of a replica's accounts; empty if it has not told them."""

TAKE = (
    _COMMON
    + """
-- ARGV: epoch, replica; then account, token, holder, beat of the holder (-1: it is no member), next holder for each.
local taken = {}
if not is_epoch(ARGV[1]) or not is_open(milliseconds()) or not redis.call('HGET', beats, ARGV[2]) then return taken end
for i = 3, #ARGV, 5 do
  local account, token, holder, beat = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], tonumber(ARGV[i + 3])
  local token_now, holder_now = holding(account)
  local beat_now = tonumber(holder ~= '' and redis.call('HGET', beats, holder) or -1)
  if token_now == token and holder_now == holder and beat_now == beat then
    hold(account, token + 1, ARGV[i + 4])
    taken[#taken + 1] = account
  end
end
return taken
"""
)
"""Become the holder of accounts that still are as this replica saw them, or set them free; returns which."""

RELEASE = (
    _COMMON
    + """
-- ARGV: replica, whether it leaves ('1'); then account, token, pace for each.
local released = {}
for i = 3, #ARGV, 3 do
  local account, token = ARGV[i], tonumber(ARGV[i + 1])
  local token_now, holder_now = holding(account)
  if token_now == token and holder_now == ARGV[1] then
    redis.call('HSET', paces, account, ARGV[i + 2])
    hold(account, token + 1, '')
    released[#released + 1] = account
  end
end
if ARGV[2] == '1' then
  redis.call('HDEL', members, ARGV[1])
  redis.call('HDEL', beats, ARGV[1])
  redis.call('HDEL', lists, ARGV[1])
  changed()
end
return released
"""
)
"""Hand accounts over: they are free, with their pace and last slot.  Returns which."""

FORGET = (
    _COMMON
    + """
-- ARGV: replica, beat for each.
local is_holder = {}
for _, found in ipairs(redis.call('HVALS', holders)) do is_holder[string.match(found, '|(.*)$') or foreign()] = true end
local forgotten = 0
for i = 1, #ARGV, 2 do
  local replica = ARGV[i]
  if tonumber(redis.call('HGET', beats, replica) or -1) == tonumber(ARGV[i + 1]) and not is_holder[replica] then
    redis.call('HDEL', members, replica)
    redis.call('HDEL', beats, replica)
    redis.call('HDEL', lists, replica)
    changed()
    forgotten = forgotten + 1
  end
end
return forgotten
"""
)
"""Remove replicas that died, unless they made a contact since, or hold an account."""

EXCHANGE = (
    _COMMON
    + """
-- ARGV: epoch, replica, the last count it has read, how many to read, how long to keep what nobody renews (ms), the
-- most bytes of a key and its value; then key, age (ms), payload for each answer to write.
if not is_epoch(ARGV[1]) then return {0} end
local me, since, most, keep_ms, now = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), milliseconds()
local most_bytes = tonumber(ARGV[6])
local function times(value)  -- without `by` for a value that another program wrote: it is as old as can be
  local written, age, by = string.match(value, '^(%d+)|(%d+)|([^|]*)|')
  return tonumber(written or 0), tonumber(age or 0), by
end
for i = 7, #ARGV, 3 do
  local key, age, payload = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  local before = redis.call('HGET', entries, key)
  local is_newer = true
  if before then
    local written, age_then = times(before)
    -- What is from the future does not count: the clock was set back.
    is_newer = written > now or written - age_then <= now - age
  end
  if is_newer then
    redis.call('HSET', entries, key, text(now) .. '|' .. text(age) .. '|' .. me .. '|' .. payload)
    redis.call('ZADD', log, redis.call('HINCRBY', epoch, 'answers', 1), key)
  end
end
local oldest = redis.call('ZRANGE', log, 0, 9)
local kept = #oldest > 0 and redis.call('HMGET', entries, unpack(oldest))
for i, key in ipairs(oldest) do
  local value = kept[i]
  if not value or times(value) < now - keep_ms then
    redis.call('HDEL', entries, key)
    redis.call('ZREM', log, key)
  end
end
local newest = tonumber(redis.call('ZRANGE', log, -1, -1, 'WITHSCORES')[2] or 0)
if newest > tonumber(redis.call('HGET', epoch, 'answers') or 0) then foreign() end  -- else what follows is never read
local found = redis.call('ZRANGEBYSCORE', log, '(' .. since, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
local reply = {1, now, since, #found / 2}
if #found == 0 then return reply end
reply[3] = found[#found]
local keys = {}
for i = 1, #found, 2 do keys[#keys + 1] = found[i] end
local values = redis.call('HMGET', entries, unpack(keys))
for i, key in ipairs(keys) do
  local value = values[i]
  if value and #key + #value <= most_bytes then
    local written, age, by = times(value)
    if by and by ~= me then
      reply[#reply + 1] = key
      reply[#reply + 1] = text(math.min(written, now))
      reply[#reply + 1] = string.match(value, '^[^|]*|[^|]*|[^|]*|(.*)$')
    end
  end
end
return reply
"""
)
"""Write answers, and read those that others wrote since the last read.

An answer replaces only an older one.  Each number has one entry, with the count of its last change as its score.  So a
read of all is a read since 0, and whoever was away for long reads each number once.
"""

CLEAR = """
-- ARGV: '1' if this replica has used the keys.
local is_ours = ARGV[1] == '1' or redis.pcall('HEXISTS', KEYS[1], 'run') == 1
return is_ours and redis.call('DEL', unpack(KEYS)) + 1 or 0  -- another replica may have removed them
"""
"""Forget all, since another program wrote into the keys: as if the store had lost its data.

Returns 0 if no replica has used them: then they may be that program's own.
"""
