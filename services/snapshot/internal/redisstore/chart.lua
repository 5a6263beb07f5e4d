-- SPDX-License-Identifier: AGPL-3.0-or-later
--
-- Stores a chart under its digest and name unless it is there.
--
-- KEYS: the changes of charts. ARGV: digest, name, head, document, changes,
-- incarnation, shard of charts, changes kept. Answers 1 when it was stored.

local call = redis.call
local digest, name, head, document, changes, id, shard, keep = unpack(ARGV)
local field = digest .. '\0' .. name
if call('HEXISTS', 'cr:charts', field) == 1 then return 0 end
local n = call('HINCRBY', 'cr:counters', 'chart', 1)
local number = string.format('%.0f', n)
call('HSET', 'cr:charts', field, number .. ' ' .. head)
call('SET', 'cr:chart:' .. digest, document)
call('XADD', KEYS[1], 'MAXLEN', keep, number .. '-0', 'i', id, 'c', changes)
call('HSET', 'cr:heads', shard, number .. ' ' .. id)
call('PUBLISH', 'cr:changes', shard)
return 1
