// SPDX-License-Identifier: Apache-2.0

//go:build unix

package scxml_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"
)

// BenchmarkWork reports how long the recipes take with the default limits, in processor
// time: what [scxml.Limits.Work] is worth.
func BenchmarkWork(b *testing.B) {
	for _, r := range recipes() {
		b.Run(r.name, func(b *testing.B) {
			c := r.compile(b, scxml.Limits{})
			var took time.Duration
			n, longest := 0, time.Duration(0)
			for b.Loop() {
				before := processorTime(b)
				_, ip := r.run(b, c, false)
				one := processorTime(b) - before
				took, n, longest = took+one, n+1, max(longest, one)
				if done := ip.Finished(); done == nil || done.Fault == "" {
					b.Log("it came to an end")
				} else if n == 1 {
					b.Log(done.Fault)
				}
			}
			b.ReportMetric(float64(took.Milliseconds())/float64(n), "cpu-ms/op")
			b.ReportMetric(float64(longest.Milliseconds()), "cpu-ms-max")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
