// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"log/slog"
	"testing"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// While the store does not answer, a batch gathers inputs for longer than a lease
// lasts: the shard is given up, and given back under another nonce, in the same
// batch. A write with both lives of it is invalid, and would be tried for ever.
func TestABatchHasOneLifeOfAShard(t *testing.T) {
	t.Parallel()
	number := ShardOf("h1")
	for name, between := range map[string][]Input{
		"given up and given back": {&Drop{Number: number}},
		"given back at once":      nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, b := NewWorker(Config{Log: slog.New(slog.DiscardHandler)}), newBatch()
			change := &HostFinding{Host: "h1", Finding: &fleetv1.Finding{}}
			inputs := append([]Input{&Adopt{Shard: NewShard(number, Fence{Epoch: 1, Nonce: "old"})}, change}, between...)
			for _, in := range append(inputs, &Adopt{Shard: NewShard(number, Fence{Epoch: 2, Nonce: "new"})}, change) {
				w.Deliver(b, in)
			}
			groups := b.seal().GetGroups()
			if len(groups) != 1 || groups[0].GetFence().GetNonce() != "new" {
				t.Errorf("the write has the groups %v, want one, of the new life", groups)
			}
		})
	}
}
