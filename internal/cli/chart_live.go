// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chartroom/chartroom/internal/chartwork"
	"github.com/chartroom/chartroom/internal/transport"
)

// liveFlags say what a chart may reach that is tried out. Without any of them it
// reaches nothing.
type liveFlags struct {
	listen string
	send   []string
	load   []string
}

func (f *liveFlags) register(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.listen, "listen", "", "take events by HTTP at this address, such as 127.0.0.1:8080")
	s.StringArrayVar(&f.send, "allow-send", nil, "let the chart send by HTTP to this URL, or below it if it ends in /")
	s.StringArrayVar(&f.load, "allow-load", nil, "let the chart load from this URL, file or folder, beside its own folder")
}

// any says whether the chart may reach something.
func (f *liveFlags) any() bool { return f.listen != "" || len(f.send)+len(f.load) > 0 }

// request checks the flags and listens.
func (f *liveFlags) request() (r chartwork.LiveRequest, err error) {
	r.Access.Send = f.send
	for _, source := range f.load {
		if !strings.Contains(source, "://") {
			info, err := os.Stat(source)
			if err != nil {
				return r, usagef("--allow-load: %w", err)
			}
			if source, err = chartwork.FileURL(source); err != nil {
				return r, err
			}
			if !info.IsDir() {
				source = strings.TrimSuffix(source, "/")
			}
		}
		r.Access.Load = append(r.Access.Load, source)
	}
	if f.listen != "" {
		if r.Listener, err = transport.Listen(f.listen, transport.Security{}); err != nil {
			if errors.Is(err, transport.ErrNotLoopback) {
				return r, usagef("--listen %s: others could send events there; use an address of loopback, such as 127.0.0.1:8080", f.listen)
			}
			return r, usagef("--listen: %w", err)
		}
	}
	return r, nil
}

// runLive runs a chart with the real clock and the network. What is remembered of
// the last step belongs to the goroutine of the sessions, which shows them.
func (t *tryRun) runLive(outer context.Context, r chartwork.LiveRequest) error {
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	finished := false
	live, err := chartwork.NewLive(r, func(report chartwork.Report) {
		if finished {
			return
		}
		t.last, finished = report, report.Finished
		for _, s := range report.Steps {
			if t.show(s) != nil {
				cancel()
			}
		}
		if finished {
			cancel()
		} else {
			t.prompt()
		}
	})
	if err != nil {
		if r.Listener != nil {
			_ = r.Listener.Close()
		}
		return usageError{err}
	}
	if at := live.Address(); at != "" {
		fmt.Fprintf(t.app.env.Stderr, "takes events by HTTP at %s\n", at)
	}
	ended := make(chan error, 1)
	go func() { ended <- live.Run(ctx) }()
	if err = live.Start(ctx); err == nil {
		err = t.feed(ctx, live)
	}
	cancel()
	failed := <-ended
	switch {
	case failed != nil:
		return failed
	case finished, errors.Is(err, io.EOF):
		return nil
	case outer.Err() != nil:
		return outer.Err()
	}
	return err
}

// feed hands the lines of the input over, and then waits for what is left to do.
func (t *tryRun) feed(ctx context.Context, live *chartwork.Live) error {
	lines, failed := t.read(ctx)
	for open := true; open; {
		var line []byte
		select {
		case line, open = <-lines:
		case <-ctx.Done():
			return ctx.Err()
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if err := t.deliver(ctx, live, line); err != nil {
			return err
		}
	}
	if err := <-failed; err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	switch {
	case t.after > 0:
		return pause(ctx, t.after)
	case live.Address() != "":
		<-ctx.Done() // others go on sending events
		return ctx.Err()
	}
	return live.Settle(ctx)
}

// deliver does what a line says.
func (t *tryRun) deliver(ctx context.Context, live *chartwork.Live, line []byte) error {
	t.line++
	var in tryInput
	event := func() (*chartwork.Event, error) {
		if name := or(in.Name, in.Event); name != "" {
			return &chartwork.Event{Name: name, Data: in.Data}, nil
		}
		return nil, nil
	}
	err := live.Deliver(ctx, func() (ev *chartwork.Event, err error) {
		in, err = t.parse(line)
		if err != nil && t.terminal && !errors.Is(err, io.EOF) {
			_, err = fmt.Fprintln(t.app.env.Stdout, err)
			return nil, err
		}
		if err != nil || in.After != "" {
			return nil, err
		}
		return event()
	})
	if err != nil || in.After == "" {
		return err
	}
	d, err := time.ParseDuration(in.After)
	if err != nil || d < 0 {
		return usagef("line %d: after %q is no duration such as 1.5s", t.line, in.After)
	}
	if err := pause(ctx, d); err != nil {
		return err
	}
	return live.Deliver(ctx, event)
}

// pause waits for d, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
