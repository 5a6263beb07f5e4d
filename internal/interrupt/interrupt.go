// SPDX-License-Identifier: AGPL-3.0-or-later

// Package interrupt says how a program of chartroom is asked to end: by SIGINT,
// by SIGTERM, or by SIGHUP, when its terminal is closed.
package interrupt

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Context returns a context that ends with the first of these signals. A SIGHUP
// that the program was started to ignore, by nohup for example, stays ignored.
// The caller calls stop once it has ended: the next signal then kills.
func Context(parent context.Context) (ctx context.Context, stop context.CancelFunc) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signal.NotifyContext(parent, signals...)
}
