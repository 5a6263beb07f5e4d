// SPDX-License-Identifier: AGPL-3.0-or-later

package statemachine_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// BenchmarkSubmit sends events to 100 free instances from many callers: from
// the call to its answer, through gRPC, the loop and a store in memory.
func BenchmarkSubmit(b *testing.B) {
	r := newRig(b)
	if err := r.push("door", door); err != nil {
		b.Fatal(err)
	}
	for n := range 100 {
		if _, err := r.create(&fleetv1.CreateInstanceRequest{Name: fmt.Sprint("d", n), Chart: "door"}); err != nil {
			b.Fatal(err)
		}
		for _, intent := range []string{"system.start", "system.unpause"} {
			if _, err := r.send(fmt.Sprint("d", n), intent, "", nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	var next atomic.Int64
	b.SetParallelism(64)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := r.send(fmt.Sprint("d", next.Add(1)%100), "nothing", "", nil); err != nil {
				b.Error(err)
			}
		}
	})
}
