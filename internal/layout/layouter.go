// SPDX-License-Identifier: AGPL-3.0-or-later

package layout

import (
	"container/list"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/chartroom/chartroom/scxml"
)

const (
	// cacheLimit is how many drawings a Layouter keeps.
	cacheLimit = 256
	// kernelTime is how long the kernel may take for one chart. The largest of
	// ours takes four seconds of a processor that has nothing else to do.
	kernelTime = 2 * time.Minute
	// kernelSize is how many boxes and lines it is given: it takes more than
	// their square in time. What is larger is drawn plainly at once.
	kernelSize = 400
	// kernelWait is how long a chart waits for the kernel while it works on
	// others, before it is drawn plainly.
	kernelWait = 30 * time.Second
	// plainTime is how long a plain drawing is kept before the kernel is tried
	// again: perhaps the computer was only busy.
	plainTime = 10 * time.Minute
)

// Layouter draws charts, each digest once. One chart is laid out at a time, in
// a goroutine that outlives an impatient caller, so that the next one finds
// the drawing done. It is safe for concurrent use; it keeps about 60 MB once
// it has drawn.
type Layouter struct {
	logger *slog.Logger

	mu      sync.Mutex
	known   map[string]*list.Element
	recent  *list.List    // of *entry, the last used first
	working chan struct{} // holds one value while the kernel works
	kernel  *kernel       // of whoever put the value into working; nil before the first and after a fault
}

// entry is a drawing that is made or being made.
type entry struct {
	digest  string
	done    chan struct{} // closed when drawing is set
	drawing *Drawing
	made    time.Time
	// final says that asking the kernel later would give nothing else.
	final bool
}

// spent says whether a plain drawing was kept for long enough.
func (e *entry) spent() bool {
	select {
	case <-e.done:
		return e.drawing.Plain && !e.final && time.Since(e.made) > plainTime
	default:
		return false
	}
}

// New makes a Layouter.
func New(logger *slog.Logger) *Layouter {
	return &Layouter{logger: logger, known: map[string]*list.Element{}, recent: list.New(), working: make(chan struct{}, 1)}
}

// Draw gives the drawing of a document, and waits for it as long as ctx lasts.
// The only error is ctx's.
func (l *Layouter) Draw(ctx context.Context, d *scxml.Document) (*Drawing, error) {
	e := l.entry(d)
	select {
	case <-e.done:
		return e.drawing, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("draw chart %s: %w", d.Name, ctx.Err())
	}
}

// entry finds the entry of a document, or starts to make it.
func (l *Layouter) entry(d *scxml.Document) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if el := l.known[d.Digest()]; el != nil && el.Value.(*entry).spent() {
		l.recent.Remove(el)
	} else if el != nil {
		l.recent.MoveToFront(el)
		return el.Value.(*entry)
	}
	e := &entry{digest: d.Digest(), done: make(chan struct{})}
	if e.drawing = drawn(d.Digest()); e.drawing != nil {
		close(e.done)
		l.known[e.digest] = l.recent.PushFront(e)
		return e
	}
	l.known[e.digest] = l.recent.PushFront(e)
	if l.recent.Len() > cacheLimit {
		last := l.recent.Back()
		delete(l.known, last.Value.(*entry).digest)
		l.recent.Remove(last)
	}
	go func() {
		defer close(e.done)
		g := newGraph(d)
		e.final = len(g.order)+len(g.lines) > kernelSize
		e.drawing, e.made = l.make(d, g, e.final), time.Now()
	}()
	return e
}

// make lays a document out, by the kernel or plainly.
func (l *Layouter) make(d *scxml.Document, g *graph, plainly bool) *Drawing {
	if plainly {
		l.logger.Debug("chart is too large for the layout kernel, drawn plainly", "chart", d.Name, "states", len(d.States))
		return plain(g)
	}
	select {
	case l.working <- struct{}{}:
		defer func() { <-l.working }()
	case <-time.After(kernelWait):
		l.logger.Warn("layout kernel is busy, chart is drawn plainly", "chart", d.Name)
		return plain(g)
	}
	start := time.Now()
	drawing, err := l.byKernel(g)
	if err != nil {
		l.logger.Warn("layout kernel failed, chart is drawn plainly", "chart", d.Name, "err", err)
		return plain(g)
	}
	l.logger.Debug("chart is drawn", "chart", d.Name, "states", len(d.States), "took", time.Since(start))
	return drawing
}

func (l *Layouter) byKernel(g *graph) (d *Drawing, err error) {
	defer func() {
		if p := recover(); p != nil { // of goja, for what JavaScript threw in our callbacks
			err = fmt.Errorf("layout kernel: %v", p)
		}
		if err != nil {
			l.kernel = nil // in what state it is, nobody knows
		}
	}()
	if l.kernel == nil {
		if l.kernel, err = newKernel(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), kernelTime)
	defer cancel()
	return byKernel(ctx, l.kernel, g)
}

// Draw lays out one document without keeping anything; for programs that draw
// once.
func Draw(ctx context.Context, d *scxml.Document) (*Drawing, error) {
	return New(slog.New(slog.DiscardHandler)).Draw(ctx, d)
}
