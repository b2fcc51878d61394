"""The script that lands a batch of appends in Redis or Valkey: judged first, then written whole or not at all."""

BEGIN = """
local base, process, handle, number, run, weak = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5] == '1'
local past = redis.call('GET', base .. ':b:' .. handle)
if past then
  local at, said = string.match(past, '^(%d+)\\n(.*)$')
  if tonumber(at) == number then return cmsgpack.unpack(said) end
  if tonumber(at) > number then return {'late'} end
end
local function whole(value) return string.format('%.0f', value) end
local function done(reply)
  redis.call('SET', base .. ':b:' .. handle, ARGV[3] .. '\\n' .. cmsgpack.pack(reply), 'PX', 3600000)
  return reply
end
"""
"""What every numbered script begins with: one that has run already answers as it did, an overtaken one does nothing.

So an answer that was lost with its connection is fetched by sending the same request again, and a request that was
held up on its way cannot take effect behind a later one of its handle. ARGV: process, handle, number, the server's run,
whether what it acknowledges may be lost; then what is the script's own.
"""

COMMIT = (
    BEGIN
    + """
local heads, claims, plans, verdicts = {}, {}, {}, {}
local order, good, moved, count, left = {}, false, false, 0, nil
local at = 6
local function take()
  local value = ARGV[at]
  at = at + 1
  return value
end
local function head_of(session)
  local head = heads[session]
  if head then return head, false end
  local row = redis.call('HMGET', base .. ':s:' .. session, 'epoch', 'seq', 'chain', 'last', 'run', 'doubt')
  head = {there = row[1] and true, epoch = row[1] or '0', seq = tonumber(row[2] or '0'),
    chain = row[3] or string.rep('\\0', 32), last = row[4] or '', run = row[5] ~= '' and row[5], doubt = row[6]}
  head.stood = {head.epoch, whole(head.seq), head.chain}
  heads[session] = head
  return head, true
end
local function lost(session, head, seq, chain)
  if seq == 0 or (seq == head.seq and chain == head.chain) then return false end
  if seq > head.seq then return true end
  local id = whole(seq) .. '-0'
  local row = redis.call('XRANGE', base .. ':j:' .. session, id, id)[1]
  return not row or string.sub(row[2][2], -32) ~= chain
end
local function lease()
  if not left then left = redis.call('PTTL', base .. ':l:' .. process) end
  return left
end
local function claimed(swaps)
  local met = {}
  for _, swap in ipairs(swaps) do
    local stands = met[swap[1]] or claims[swap[1]]
    if not stands then
      local row = redis.call('GET', base .. ':c:' .. swap[1])
      stands = row and string.match(row, '^%d+') or '0'
      claims[swap[1]] = stands
    end
    if stands ~= swap[2] then return {'claim', stands, swap[2]}, met end
    met[swap[1]] = swap[3]
  end
  return nil, met
end
while at <= #ARGV do
  local plan = {session = take(), epoch = take(), lease = tonumber(take()), from = take(), seq = tonumber(take()),
    chain = take(), link = take(), last = take(), tenant = take(), swaps = {}, marks = {}}
  plan.count = tonumber(take())
  plan.first = at
  at = at + plan.count
  for step = 1, tonumber(take()) do plan.swaps[step] = {take(), take(), take(), take()} end
  for step = 1, tonumber(take()) do plan.marks[step] = {take(), take(), take()} end
  local head, new = head_of(plan.session)
  if new and lost(plan.session, head, plan.seq, plan.chain) then head.lost = true end
  local verdict, met
  if head.lost then
    verdict = {'lost', head.stood[1], head.stood[2], head.stood[3]}
    moved = true
  elseif plan.epoch ~= '' and plan.epoch ~= head.epoch then
    verdict = {'fenced', head.epoch}
  elseif plan.count > 0 and not (plan.from == head.epoch and plan.seq == head.seq and plan.chain == head.chain) then
    verdict = {'moved', head.stood[1], head.stood[2], head.stood[3]}
    moved = true
  else
    verdict, met = claimed(plan.swaps)
    if not verdict and plan.lease > 0 and lease() < plan.lease then verdict = {'lease'} end
  end
  if not verdict then
    verdict = {'ok', whole(head.seq + 1), head.epoch}
    good = true
    plan.ok = true
    for key, version in pairs(met) do claims[key] = version end
    if plan.count > 0 then head.seq, head.chain = head.seq + plan.count, plan.link end
    count = count + plan.count
  end
  plans[#plans + 1] = plan
  verdicts[#verdicts + 1] = verdict
end
if moved or not good then return verdicts end
local place = redis.call('INCRBY', base .. ':pos', count) - count
for _, plan in ipairs(plans) do
  if plan.ok then
    local head, session = heads[plan.session], plan.session
    if not head.there then
      head.there = true
      redis.call('HSET', base .. ':s:' .. session, 'tenant', plan.tenant, 'epoch', '0', 'owner', '', 'state', 'open',
        'opened', plan.last)
      redis.call('ZADD', base .. ':names', 0, session)
      redis.call('ZADD', base .. ':open', 0, session)
    end
    for step = 1, plan.count do
      local seq = whole(plan.seq + step)
      place = place + 1
      redis.call('XADD', base .. ':j:' .. session, seq .. '-0', 'f', ARGV[plan.first + step - 1], 'p', whole(place))
      redis.call('XADD', base .. ':log', whole(place) .. '-0', 's', session, 'q', seq)
    end
    if plan.last > head.last then head.last = plan.last end
    if not head.touched then order[#order + 1] = session end
    head.touched = true
    if plan.count > 0 then
      if plan.epoch ~= '' then
        head.clear = true
      elseif weak and head.run and head.run ~= run and not head.clear then
        head.doubt = '1'
      end
      head.run = run
    end
    for _, swap in ipairs(plan.swaps) do redis.call('SET', base .. ':c:' .. swap[1], swap[3] .. ' ' .. swap[4]) end
    for _, mark in ipairs(plan.marks) do
      local key = base .. ':m:' .. mark[1]
      if mark[3] ~= '' then
        redis.call('HSET', key, mark[2], mark[3])
        redis.call('ZADD', base .. ':marked', 0, mark[1])
      elseif redis.call('HDEL', key, mark[2]) == 1 and redis.call('EXISTS', key) == 0 then
        redis.call('ZREM', base .. ':marked', mark[1])
      end
    end
  end
end
for _, session in ipairs(order) do
  local head, key = heads[session], base .. ':s:' .. session
  redis.call('HSET', key, 'seq', whole(head.seq), 'chain', head.chain, 'last', head.last, 'run', head.run or '')
  if head.clear then
    if head.doubt then redis.call('HDEL', key, 'doubt') end
  elseif head.doubt then
    redis.call('HSET', key, 'doubt', '1')
  end
end
redis.call('PUBLISH', base .. ':news', whole(place))
return done(verdicts)
"""
)
"""Lands a batch.

ARGV of its own, for each append: session, epoch or nothing, lease in ms, the head that it is packed behind (epoch,
sequence, chain), its new chain, its newest time, a tenant for a new session, and counted lists of frames, claims (key,
expected, next, value) and marks (session, call, row or nothing). Answers each append with ``ok``, a refusal, or the
head that its session stands at (``moved``, ``lost``): where one of those is among them, nothing has been written.
"""

SETTLE = (
    BEGIN
    + """
local reply = {'never', ARGV[6]}
if past then
  local at, said = string.match(past, '^(%d+)\\n(.*)$')
  said = cmsgpack.unpack(said)
  if at == ARGV[6] then
    reply = {'was', at, said}
  elseif said[1] == 'was' and said[2] == ARGV[6] then
    reply = said
  end
end
return done(reply)
"""
)
"""Tells what an earlier request of the handle was answered, and sees to it that one that has not run never will.

ARGV of its own: the number of that request.
"""
