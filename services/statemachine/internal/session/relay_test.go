// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"strings"
	"testing"

	"github.com/chartroom/chartroom/scxml"
)

// Law 8: what is on its way to other instances is bounded in number and in bytes,
// and there is room again for each that has arrived.
func TestRelaysAreBounded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		data any
		want int
	}{
		{"number", nil, maxRelays},
		{"bytes", strings.Repeat("x", 512<<10), 7},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 10)
			send := func() (id string, err error) {
				b.do(func(t *turn) {
					id, err = t.relay(scxml.Send{Target: "#other", Event: scxml.Event{Name: "hi", Data: test.data}})
				})
				return id, err
			}
			first, n := "", 0
			for ; n < maxRelays+10; n++ {
				id, err := send()
				if err != nil {
					break
				}
				if n == 0 {
					first = id
				}
			}
			if n != test.want {
				t.Errorf("%d were sent, want %d", n, test.want)
			}
			before := b.i.book.Sent[ShardOfInstance("other")]
			if _, err := send(); err == nil || !strings.Contains(err.Error(), "on their way") {
				t.Errorf("one too many: %v", err)
			}
			if after := b.i.book.Sent[ShardOfInstance("other")]; after != before {
				t.Errorf("a refused one took number %d, which would be a hole", after)
			}
			b.do(func(t *turn) {
				if !t.settle(first) {
					panic("the first is not in the outbox")
				}
			})
			if _, err := send(); err != nil {
				t.Errorf("after one has arrived: %v", err)
			}
		})
	}
}
