// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"fmt"
	"hash/fnv"
	"strings"
)

// Shards is the number of shards, fixed for ever: it is part of every key.
const Shards = 256

// ShardOf is the shard of a host id or of a free instance's id.
func ShardOf(key string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // never fails
	return h.Sum32() % Shards
}

// ShardOfInstance is the shard of an instance: that of its host, or of its own
// id when it is free.
func ShardOfInstance(id string) uint32 {
	if _, host, hosted := strings.Cut(id, "@"); hosted {
		return ShardOf(host)
	}
	return ShardOf(id)
}

// HostedID is the id of a hosted instance.
func HostedID(name, host string) string { return name + "@" + host }

// maxNameBytes bounds ids and event names.
const maxNameBytes = 200

// CheckName says what is wrong with the name of an instance (without host),
// if anything: letters, digits and "_.-", at most 200 bytes with the host.
func CheckName(name string) error {
	if name == "" || len(name) > maxNameBytes {
		return Invalid("name %q: want 1 to %d bytes", name, maxNameBytes)
	}
	for _, c := range name {
		if !plain(c) {
			return Invalid("name %q: %q is not a letter, a digit or one of _.-", name, c)
		}
	}
	return nil
}

// checkEventName says what is wrong with the name of an event.
func checkEventName(name string) error {
	if name == "" || len(name) > maxNameBytes {
		return Invalid("event name %q: want 1 to %d bytes", name, maxNameBytes)
	}
	for token := range strings.SplitSeq(name, ".") {
		if token == "" || strings.ContainsFunc(token, func(c rune) bool { return !plain(c) && c != ':' }) {
			return Invalid("event name %q: want tokens of letters, digits, _, - and : separated by dots", name)
		}
	}
	return nil
}

func plain(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_.-", c)
}

// Fence is what an owner shows: the epoch of the shard and the owner's nonce,
// with the number of a group.
type Fence struct {
	Epoch uint64
	Nonce string
	Group uint64
}

// String is for logs.
func (f Fence) String() string { return fmt.Sprintf("%d/%s/%d", f.Epoch, f.Nonce, f.Group) }
