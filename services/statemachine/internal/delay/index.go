// SPDX-License-Identifier: AGPL-3.0-or-later

// Package delay orders the delayed sends of many sessions by when they are
// due. The sessions themselves are the only truth about them
// (scxml.Interpreter.Pending); an [Index] holds the earliest of each session
// and can be rebuilt at any time.
//
// An Index has no clock and no goroutine. It is not safe for concurrent use.
package delay

import (
	"container/heap"
	"time"
)

// Timer is the earliest delayed send of a session.
type Timer struct {
	// Key is the session.
	Key string
	// Number is scxml.Delayed.Seq.
	Number uint64
	// Due is when it is due.
	Due time.Time
}

// Index orders timers by (Due, Key). The zero value is empty and usable.
type Index struct {
	heap  timers
	byKey map[string]*item
}

type item struct {
	Timer
	place int
}

// Set puts t in place of the timer of the same key.
func (x *Index) Set(t Timer) {
	if it, ok := x.byKey[t.Key]; ok {
		if it.Timer == t {
			return
		}
		it.Timer = t
		heap.Fix(&x.heap, it.place)
		return
	}
	if x.byKey == nil {
		x.byKey = make(map[string]*item)
	}
	it := &item{Timer: t}
	x.byKey[t.Key] = it
	heap.Push(&x.heap, it)
}

// Remove takes the timer of key out, if there is one.
func (x *Index) Remove(key string) {
	it, ok := x.byKey[key]
	if !ok {
		return
	}
	delete(x.byKey, key)
	heap.Remove(&x.heap, it.place)
}

// Next is the earliest timer; ok is false when there is none.
func (x *Index) Next() (t Timer, ok bool) {
	if len(x.heap) == 0 {
		return Timer{}, false
	}
	return x.heap[0].Timer, true
}

// Due is the earliest timer if it is due at now. It stays in the index until
// Set or Remove.
func (x *Index) Due(now time.Time) (t Timer, ok bool) {
	t, ok = x.Next()
	return t, ok && !t.Due.After(now)
}

// Len is the number of timers.
func (x *Index) Len() int { return len(x.heap) }

type timers []*item

func (h timers) Len() int { return len(h) }

func (h timers) Less(i, j int) bool {
	if !h[i].Due.Equal(h[j].Due) {
		return h[i].Due.Before(h[j].Due)
	}
	return h[i].Key < h[j].Key
}

func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *timers) Push(x any) {
	it := x.(*item)
	it.place = len(*h)
	*h = append(*h, it)
}

func (h *timers) Pop() any {
	old := *h
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return it
}
