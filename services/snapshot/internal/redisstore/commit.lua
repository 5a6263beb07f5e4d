-- SPDX-License-Identifier: AGPL-3.0-or-later
--
-- Commits groups, each for one shard. Redis runs it alone and undoes nothing,
-- so every group is checked whole before its first write.
--
-- KEYS: the meta of each group's shard.
-- ARGV: now (ms), log retention, changes kept, bytes of changes kept, then a
-- block for each group: its length, and in it
--   prefix, shard, epoch, nonce, number, digest, changes,
--   n, n times (sha, packed body)
--   n, n times (sha, instance)        bodies referred to: must be there
--   n, n times (instance, sequence)   first log entry: must be after the last
--   n, n times an operation           what to write, in order
-- An operation is its kind, the number of its arguments, and these:
--   c  a command of Redis as it is
--   l  instance, then (sequence, "1" if with a session snapshot, body) for each log entry
--   +  instance, sha: one reference more        -  one less
--   x  instance: removed with all its rows
--
-- Answers for each group {status, epoch, last group, message}.

local call = redis.call
local now, retention = ARGV[1], tonumber(ARGV[2])
local keepChanges, keepBytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local APPLIED, ALREADY, FENCED, ORDER, MISSING = 1, 2, 3, 4, 5
local at, out, changed = 5, {}, {}

local function take()
  local v = ARGV[at]
  at = at + 1
  return v
end

local function num(n) return string.format('%.0f', n) end

-- unreferenced marks a body that nothing refers to as touched now.
local function unreferenced(sha) call('ZADD', 'cr:free', now, sha) end

local function release(sha, count)
  if call('HINCRBY', 'cr:refs', sha, -count) <= 0 then
    call('HDEL', 'cr:refs', sha)
    unreferenced(sha)
  end
end

local function refer(p, instance, sha)
  call('HINCRBY', p .. 'b:' .. instance, sha, 1)
  if call('HINCRBY', 'cr:refs', sha, 1) == 1 then call('ZREM', 'cr:free', sha) end
end

local function forget(p, instance, sha)
  local key = p .. 'b:' .. instance
  local n = tonumber(call('HGET', key, sha) or '0')
  if n == 0 then return end
  if n == 1 then call('HDEL', key, sha) else call('HINCRBY', key, sha, -1) end
  release(sha, 1)
end

local function remove(p, instance, logs)
  logs[instance] = nil
  local refs = call('HGETALL', p .. 'b:' .. instance)
  for i = 1, #refs, 2 do release(refs[i], tonumber(refs[i + 1])) end
  call('DEL', p .. 'b:' .. instance, p .. 'l:' .. instance, p .. 'o:' .. instance, p .. 'q:' .. instance)
  call('HDEL', p .. 'v', instance)
  call('HDEL', p .. 'p', instance)
  call('HDEL', p .. 'g', instance)
end

-- append adds log entries and cuts the log as store.LogState does. logs holds
-- what the logs of instances hold; the caller writes it back.
local function append(p, instance, first, last, logs)
  local key = p .. 'l:' .. instance
  local newest, oldest, cuts = 0, 0, {}
  for n in string.gmatch(logs[instance] or '', '%d+') do
    if newest == 0 then newest = tonumber(n)
    elseif oldest == 0 then oldest = tonumber(n)
    else cuts[#cuts + 1] = tonumber(n) end
  end
  if oldest == 0 then oldest = tonumber(ARGV[first]) end
  local was = oldest
  for i = first, last, 3 do
    newest = tonumber(ARGV[i])
    if ARGV[i + 1] == '1' then cuts[#cuts + 1] = newest end
    call('XADD', key, ARGV[i] .. '-0', 'b', ARGV[i + 2])
  end
  for _, c in ipairs(cuts) do
    if newest - c + 1 >= retention and c > oldest then oldest = c end
  end
  if newest - oldest + 1 > 4 * retention then oldest = newest - retention + 1 end
  if oldest > was then call('XTRIM', key, 'MINID', num(oldest)) end
  local state = {num(newest), num(oldest)}
  for _, c in ipairs(cuts) do
    if c >= oldest then state[#state + 1] = num(c) end
  end
  logs[instance] = table.concat(state, ' ')
end

-- change adds a row to the shard's changes and drops those too many.
local function change(p, shard, number, digest, changes, bytes)
  local id = string.sub(digest, 1, 8)
  call('XADD', p .. 'c', number .. '-0', 'i', id, 'c', changes)
  local count = call('RPUSH', p .. 'z', #changes)
  bytes = bytes + #changes
  local dropped = false
  while count > 1 and (count > keepChanges or bytes > keepBytes) do
    bytes = bytes - tonumber(call('LPOP', p .. 'z'))
    count = count - 1
    dropped = true
  end
  if dropped then call('XTRIM', p .. 'c', 'MINID', num(tonumber(number) - count + 1)) end
  call('HSET', 'cr:heads', shard, number .. ' ' .. id)
  changed[#changed + 1] = shard
  return bytes
end

local function group(key)
  local p, shard, epoch, nonce, number, digest, changes = take(), take(), take(), take(), take(), take(), take()
  local m = call('HMGET', key, 'e', 'n', 'g', 'd', 'b')
  local e, last = m[1] or '0', m[3] or '0'
  if e ~= epoch or m[2] ~= nonce then
    return {FENCED, e, last, 'shard ' .. shard .. ' is at epoch ' .. e .. ', not ' .. epoch .. ' with this nonce'}
  end
  if last == number and m[4] == digest then return {ALREADY, e, last, ''} end
  if tonumber(last) + 1 ~= tonumber(number) then
    return {ORDER, e, last, 'group ' .. number .. '; the last of shard ' .. shard .. ' is ' .. last}
  end

  local bodies, from = {}, at + 1
  local n = tonumber(take())
  for i = 1, n do
    bodies[take()] = true
    at = at + 1
  end
  local upTo = at - 1
  for i = 1, tonumber(take()) do
    local sha, instance = take(), take()
    if not bodies[sha] and call('EXISTS', 'cr:blob:' .. sha) == 0 then
      return {MISSING, e, last, 'instance ' .. instance .. ': body ' .. sha .. ' is not stored'}
    end
  end
  local logs, instances, sequences = {}, {}, {}
  for i = 1, tonumber(take()) do
    instances[i], sequences[i] = take(), take()
  end
  local held = {}
  if #instances > 0 then held = call('HMGET', p .. 'g', unpack(instances)) end
  for i, instance in ipairs(instances) do
    if held[i] then
      logs[instance] = held[i]
      local newest = string.match(held[i], '^%d+')
      if tonumber(sequences[i]) <= tonumber(newest) then
        return {ORDER, e, last, 'instance ' .. instance .. ': log entry ' .. sequences[i] .. ' after ' .. newest}
      end
    end
  end

  -- Nothing below may fail.
  for i = from, upTo, 2 do
    local sha = ARGV[i]
    call('SETNX', 'cr:blob:' .. sha, ARGV[i + 1])
    if call('HEXISTS', 'cr:refs', sha) == 0 then unreferenced(sha) end
  end
  for i = 1, tonumber(take()) do
    local kind, count = take(), tonumber(take())
    local next = at + count
    if kind == 'c' then call(unpack(ARGV, at, next - 1))
    elseif kind == 'l' then append(p, ARGV[at], at + 1, next - 1, logs)
    elseif kind == '+' then refer(p, ARGV[at], ARGV[at + 1])
    elseif kind == '-' then forget(p, ARGV[at], ARGV[at + 1])
    else remove(p, ARGV[at], logs) end
    at = next
  end
  local states = {}
  for instance, state in pairs(logs) do
    states[#states + 1] = instance
    states[#states + 1] = state
  end
  if #states > 0 then call('HSET', p .. 'g', unpack(states)) end
  local bytes = change(p, shard, number, digest, changes, tonumber(m[5] or '0'))
  call('HSET', key, 'g', number, 'd', digest, 'b', num(bytes))
  return {APPLIED, e, number, ''}
end

for i = 1, #KEYS do
  local next = at + 1 + tonumber(ARGV[at])
  at = at + 1
  out[i] = group(KEYS[i])
  at = next
end
if #changed > 0 then call('PUBLISH', 'cr:changes', table.concat(changed, ',')) end
return out
