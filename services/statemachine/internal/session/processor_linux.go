// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"time"

	"golang.org/x/sys/unix"
)

// thread is the id of the thread that calls, which must be locked to its goroutine.
func thread() int { return unix.Gettid() }

// processorTime is what a thread of this process has taken; any other may ask.
func processorTime(thread int) (time.Duration, bool) {
	// The number of the clock of a thread, as the C library makes it
	// (pthread_getcpuclockid): of the kind that the scheduler keeps.
	const ofThread, scheduled = 4, 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^thread<<3|ofThread|scheduled), &t); err != nil {
		return 0, false
	}
	return time.Duration(t.Nano()), true
}
