// SPDX-License-Identifier: AGPL-3.0-or-later

package sandbox

import (
	"fmt"
	"os"
	"syscall"
)

// limitMemory lets the process take limit bytes of address space more than it
// has. The runtime reserves a good part of what it has without using it.
func limitMemory(limit int64) error {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	var pages int64
	if _, err := fmt.Sscan(string(statm), &pages); err != nil {
		return err
	}
	all := uint64(pages*int64(os.Getpagesize()) + limit)
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: all, Max: all}); err != nil {
		return err
	}
	return syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
}
