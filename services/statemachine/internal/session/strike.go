// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// While a step runs, the other instances of the worker wait. So a step that goes
// beyond the processor time that it is granted is a strike against the instance and
// its chart; each halves what the next step is granted, for as long as it is
// remembered; and an instance with maxStrikes of them takes nothing until the oldest
// is forgotten. By that an instance makes others wait for about half a second in an
// hour, and further ones of its chart for a quarter of one each; for twice that where
// it is stepped in this process.
const (
	stepTime   = 250 * time.Millisecond
	maxStrikes = 4
	strikeTime = time.Hour
)

// watchTime takes the place of stepTime in this process. A bounded chart does not come
// near it: the kernel ends its step by its work ([scxml.Limits]), after at most a quarter
// of a second. It is for charts that are trusted, and for what nobody has thought of.
const watchTime = 500 * time.Millisecond

// strikes are the times of the newest strikes, oldest first.
type strikes []time.Time

// at gives those that are remembered at a time.
func (s strikes) at(now time.Time) strikes {
	for len(s) > 0 && now.Sub(s[0]) >= strikeTime {
		s = s[1:]
	}
	return s
}

// and gives the strikes with one more. It shares nothing with s.
func (s strikes) and(now time.Time) strikes {
	s = append(slices.Clone(s.at(now)), now)
	return s[max(len(s)-maxStrikes, 0):]
}

// record is what all instances of a chart have done, in all workers.
type record struct {
	any     atomic.Bool // there ever was a strike
	mu      sync.Mutex
	strikes strikes
}

func (r *record) strike(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.strikes = r.strikes.and(now)
	r.any.Store(true)
}

func (r *record) count(now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.strikes.at(now))
}

// grant is how long the next call into the kernel may take.
func (i *Instance) grant() time.Duration {
	most := watchTime
	if i.chart.Confined() {
		most = stepTime
	}
	if len(i.book.Strikes) == 0 && !i.chart.record.any.Load() {
		return most
	}
	now := time.Now()
	n := max(len(i.book.Strikes.at(now)), i.chart.record.count(now))
	return most >> min(n, 2)
}

// strike notes that a call took more than was granted.
func (i *Instance) strike() {
	now := time.Now().UTC().Truncate(time.Second)
	i.book.Strikes = i.book.Strikes.and(now)
	i.chart.record.strike(now)
}

// suspended says until when the instance takes nothing; zero when it does.
func (i *Instance) suspended() time.Time {
	if s := i.book.Strikes; len(s) == maxStrikes && time.Since(s[0]) < strikeTime {
		return s[0].Add(strikeTime)
	}
	return time.Time{}
}

// suspendedError is the fault of a step that was not tried.
type suspendedError struct{ until time.Time }

func (e *suspendedError) Error() string {
	return fmt.Sprintf("%d of its steps went beyond the limits of time and memory; it takes nothing until %s", maxStrikes, e.until.Format(time.RFC3339))
}

// suspension is the finding of a suspended instance; nil when it is not.
func (i *Instance) suspension() *fleetv1.Finding {
	until := i.suspended()
	if until.IsZero() {
		return nil
	}
	return &fleetv1.Finding{
		Code: "chart.suspended", Severity: fleetv1.Severity_SEVERITY_ERROR,
		Message: "The instance is suspended: " + (&suspendedError{until}).Error() + ".",
		Fix:     "see in its log which events did it; mend the chart " + i.chart.Name + ", push it, and make the instance anew",
	}
}
