"""The scripts of a store on Redis or Valkey that are not about landing records; each is one step for everybody else."""

from __future__ import annotations

from toolguard.stores.redis_commit_lua import BEGIN

_ROW = "'tenant', 'epoch', 'owner', 'state', 'seq', 'chain', 'opened', 'last', 'run', 'doubt'"

SETUP = """
local key = KEYS[1] .. ':meta'
if redis.call('HEXISTS', key, 'format') == 0 then
  redis.call('HSET', key, 'format', ARGV[1], 'chain', ARGV[2])
end
return redis.call('HMGET', key, 'format', 'chain')
"""
"""Makes the store's marker where there is none, and tells it. ARGV: format, fingerprint of the chain key."""

ENTER = (
    BEGIN
    + f"""
local session, tenant, at, expects = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local key = base .. ':s:' .. session
local row = redis.call('HMGET', key, 'epoch', 'tenant', 'last')
local epoch = row[1] or '0'
if expects ~= '' and expects ~= epoch then return done({{'overtaken', epoch}}) end
if row[1] and row[2] ~= '' and row[2] ~= tenant then return done({{'tenant'}}) end
if not row[1] then redis.call('HSET', key, 'seq', '0', 'chain', string.rep('\\0', 32), 'opened', at, 'run', '') end
local last = (row[3] and row[3] > at) and row[3] or at
redis.call('HSET', key, 'tenant', tenant, 'epoch', whole(tonumber(epoch) + 1), 'owner', process, 'state', 'open',
  'last', last)
redis.call('ZADD', base .. ':names', 0, session)
redis.call('ZADD', base .. ':open', 0, session)
return done({{'ok', redis.call('HMGET', key, {_ROW})}})
"""
)
"""Takes a session over. ARGV of its own: session, tenant, time, expected epoch or nothing."""

LEAVE = (
    BEGIN
    + """
local session, state = ARGV[6], ARGV[7]
local key = base .. ':s:' .. session
local owner = redis.call('HGET', key, 'owner')
if not owner then return done({'ok'}) end
if owner ~= '' and owner ~= process then return done({'owner', owner}) end
redis.call('HSET', key, 'owner', '', 'state', state)
if state == 'open' then
  redis.call('ZADD', base .. ':open', 0, session)
else
  redis.call('ZREM', base .. ':open', session)
end
return done({'ok'})
"""
)
"""Ends an ownership. ARGV of its own: session, state."""

SESSION = f"return redis.call('HMGET', KEYS[1] .. ':s:' .. ARGV[1], {_ROW})"
"""One session's row. ARGV: session."""

SESSIONS = f"""
local base, tenant, state, limit, dead = KEYS[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local index = base .. (state == 'open' and ':open' or ':names')
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local names = redis.call('ZRANGEBYLEX', index, from, '+', 'LIMIT', 0, 1000)
local found, living, last = {{}}, {{}}, ''
for _, name in ipairs(names) do
  if #found >= limit then break end
  last = name
  local row = redis.call('HMGET', base .. ':s:' .. name, {_ROW})
  local fits = row[2] and (tenant == '' or row[1] == string.sub(tenant, 2)) and (state == '' or row[4] == state)
  if fits and dead then
    local owner = row[3]
    if living[owner] == nil then living[owner] = owner ~= '' and redis.call('EXISTS', base .. ':l:' .. owner) == 1 end
    fits = not living[owner]
  end
  if fits then found[#found + 1] = {{name, row}} end
end
return {{(#names == 1000 and #found < limit) and last or '', found}}
"""
"""A page of sessions in order of their ids. ARGV: behind which, ``=tenant``, state, how many, whether without a living
owner. Answers where to go on, empty at the end, and the rows."""

TAIL = """
local base, limit = KEYS[1], tonumber(ARGV[2])
local found = {}
for _, entry in ipairs(redis.call('XRANGE', base .. ':log', '(' .. ARGV[1] .. '-0', '+', 'COUNT', limit)) do
  local session, id = entry[2][2], entry[2][4] .. '-0'
  local row = redis.call('XRANGE', base .. ':j:' .. session, id, id)[1]
  found[#found + 1] = {string.match(entry[1], '^%d+'), session, entry[2][4], row and row[2][2] or ''}
end
return found
"""
"""Records behind a store position. ARGV: position, how many."""

CALLS = """
local base, found = KEYS[1], {}
local names = ARGV[1] ~= '' and {string.sub(ARGV[1], 2)} or redis.call('ZRANGEBYLEX', base .. ':marked', '-', '+')
for _, name in ipairs(names) do
  local rows = redis.call('HGETALL', base .. ':m:' .. name)
  if #rows > 0 then found[#found + 1] = {name, rows} end
end
return found
"""
"""The index of open calls. ARGV: ``=session``, or nothing for all."""

SNAPSHOT = """
local key = KEYS[1] .. ':n:' .. ARGV[1]
local row = redis.call('HMGET', key, 'seq', 'head')
if not row[1] then return {} end
return {row[1], row[2], redis.call('LRANGE', KEYS[1] .. ':np:' .. ARGV[1], 0, -1)}
"""
"""The newest snapshot. ARGV: session."""

KEEP = (
    BEGIN
    + """
local session, seq, known = ARGV[6], ARGV[7], tonumber(ARGV[8])
local key, parts = base .. ':n:' .. session, base .. ':np:' .. session
local old = redis.call('HGET', key, 'seq')
if redis.call('EXISTS', base .. ':s:' .. session) == 0 or redis.call('LLEN', parts) ~= known
  or (old and tonumber(old) >= tonumber(seq)) then return done({'no'}) end
redis.call('HSET', key, 'seq', seq, 'head', ARGV[9])
for at = 10, #ARGV do redis.call('RPUSH', parts, ARGV[at]) end
return done({'ok'})
"""
)
"""Keeps a snapshot. ARGV of its own: session, sequence, number of known parts, head, new parts."""

PRUNE = (
    BEGIN
    + """
local session, before = ARGV[6], ARGV[7]
local key, journal = base .. ':s:' .. session, base .. ':j:' .. session
local row = redis.call('HMGET', key, 'state', 'last')
if row[1] ~= 'closed' or row[2] >= before or redis.call('EXISTS', base .. ':m:' .. session) == 1 then
  return done({'no'})
end
local from = '-'
repeat
  local rows = redis.call('XRANGE', journal, from, '+', 'COUNT', 500)
  local places = {}
  for step, entry in ipairs(rows) do places[step] = entry[2][4] .. '-0' end
  if #rows > 0 then
    redis.call('XDEL', base .. ':log', unpack(places))
    from = '(' .. rows[#rows][1]
  end
until #rows < 500
redis.call('DEL', key, journal, base .. ':n:' .. session, base .. ':np:' .. session)
redis.call('ZREM', base .. ':names', session)
redis.call('ZREM', base .. ':open', session)
return done({'ok'})
"""
)
"""Takes a closed session away. ARGV of its own: session, the time that its last record must be older than."""

RENEW = """
if redis.call('SISMEMBER', KEYS[1] .. ':dead', ARGV[1]) == 1 then return 0 end
redis.call('SET', KEYS[1] .. ':l:' .. ARGV[1], '1', 'PX', ARGV[2])
return 1
"""
"""Lets a lease last, unless its process was found dead. ARGV: process, ms."""

BURY = """
if redis.call('EXISTS', KEYS[1] .. ':l:' .. ARGV[1]) == 1 then return 0 end
redis.call('SADD', KEYS[1] .. ':dead', ARGV[1])
return 1
"""
"""Finds a process dead for good, if its lease is over. ARGV: process."""
