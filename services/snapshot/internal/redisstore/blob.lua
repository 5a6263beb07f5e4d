-- SPDX-License-Identifier: AGPL-3.0-or-later
--
-- ARGV: "put", now (ms), sha, packed body: stores a body, or touches it.
-- ARGV: "collect", until (ms), limit: deletes bodies that nothing refers to
-- and that were last touched until then; answers how many.

local call = redis.call
if ARGV[1] == 'put' then
  call('SETNX', 'cr:blob:' .. ARGV[3], ARGV[4])
  if call('HEXISTS', 'cr:refs', ARGV[3]) == 0 then call('ZADD', 'cr:free', ARGV[2], ARGV[3]) end
  return 1
end
local due = call('ZRANGEBYSCORE', 'cr:free', '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])
for _, sha in ipairs(due) do
  call('UNLINK', 'cr:blob:' .. sha)
  call('ZREM', 'cr:free', sha)
end
return #due
