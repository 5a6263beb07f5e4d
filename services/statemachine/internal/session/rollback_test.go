// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"log/slog"
	"testing"
	"time"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
)

// Law 5: an agent that saw more commits than the store had when the shard was loaded
// lists everything anew, however much was committed since.
func TestAnOlderStoreIsFoundOut(t *testing.T) {
	t.Parallel()
	const loaded, now = 5, 15 // groups
	for name, tt := range map[string]struct {
		seen   *agentv1.Fence
		relist bool
	}{
		"a new agent":              {},
		"saw what was loaded":      {seen: &agentv1.Fence{Epoch: 1, Nonce: "a", CommitSequence: loaded}},
		"saw what is lost":         {seen: &agentv1.Fence{Epoch: 1, Nonce: "a", CommitSequence: loaded + 1}, relist: true},
		"saw more than there is":   {seen: &agentv1.Fence{Epoch: 1, Nonce: "a", CommitSequence: now + 1}, relist: true},
		"saw commits of the owner": {seen: &agentv1.Fence{Epoch: 2, Nonce: "b", CommitSequence: now}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := NewWorker(Config{Log: slog.New(slog.DiscardHandler)})
			s := NewShard(ShardOf("h1"), Fence{Epoch: 2, Nonce: "b", Group: loaded})
			b := newBatch()
			w.adopt(b, s, time.Now())
			s.fence.Group = now
			w.join(s, b, &HostJoined{Conn: &worldConn{}, Hello: &agentv1.Hello{HostId: "h1", JournalId: "j", Fence: tt.seen}}, time.Now())
			var welcome *Welcome
			for _, e := range b.group(s).effects {
				if e, ok := e.(*Welcome); ok {
					welcome = e
				}
			}
			if welcome == nil || welcome.Message.GetRelist() != tt.relist {
				t.Errorf("welcome %v, want relist %v", welcome, tt.relist)
			}
		})
	}
}
