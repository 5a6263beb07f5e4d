// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build unix

package sandbox

import (
	"syscall"
	"time"
)

// processorTime is what this process has taken, in all its threads.
func processorTime() (time.Duration, bool) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}
