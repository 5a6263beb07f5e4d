-- SPDX-License-Identifier: AGPL-3.0-or-later
--
-- Acquires, renews or releases the leases of shards, each alone.
--
-- KEYS: the meta of each shard. ARGV: what ("acquire", "renew", "release"),
-- now (ms), the end of a lease from now (ms), owner, nonce, address.
-- Answers for each shard {held, epoch, last group, owner, address, end}.

local call = redis.call
local what, now, ends, owner, nonce, address = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local out = {}

for i, key in ipairs(KEYS) do
  local m = call('HMGET', key, 'e', 'n', 'o', 'a', 'x', 'g')
  local e, n, o, a, x, g = m[1] or '0', m[2] or '', m[3] or '', m[4] or '', m[5] or '0', m[6] or '0'
  local held = 0
  if what == 'acquire' then
    if o == '' or o == owner or tonumber(x) <= now then
      held, o, a, x = 1, owner, address, ends
      e = string.format('%.0f', call('HINCRBY', key, 'e', 1))
      call('HSET', key, 'n', nonce, 'o', o, 'a', a, 'x', x)
    end
  elseif o == owner and n == nonce then
    if what == 'renew' then
      held, x = 1, ends
      call('HSET', key, 'x', x)
    else
      o, a, x = '', '', '0'
      call('HDEL', key, 'o', 'a', 'x')
    end
  end
  if tonumber(x) <= now then o, a, x = '', '', '0' end
  out[i] = {held, e, g, o, a, x}
end
return out
