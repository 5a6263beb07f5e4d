// SPDX-License-Identifier: AGPL-3.0-or-later

package sandbox

import (
	"fmt"
	"os"
	"time"
)

// spendTick is how often [Spend] looks.
const spendTick = 5 * time.Millisecond

// Spend ends this process, which must be a child, once it has taken more than limit
// of processor time, unless stop is called before. Unlike the time on the wall, which
// the parent measures, it is the same on a machine that has much else to do, so it can
// be short. Zero, and a system that does not tell, mean no limit.
func Spend(limit time.Duration) (stop func()) {
	begin, known := processorTime()
	if limit == 0 || !known {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(spendTick)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if now, _ := processorTime(); now-begin > limit {
				fmt.Fprintf(os.Stderr, "it took more than %s of processor time\n", limit)
				os.Exit(1)
			}
		}
	}()
	return func() { close(done) }
}
