// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chartroom/chartroom/internal/chartwork"
	"github.com/chartroom/chartroom/internal/sandbox"
)

// maxLine bounds a line of input.
const maxLine = 4 << 20

func (a *app) tryCommand() *cobra.Command {
	clock, data, after := "", "", time.Duration(0)
	flags, network := &sandboxFlags{}, &liveFlags{}
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Try a chart out: events on standard input, a line a macrostep on standard output",
		Long: "Run a chart alone, without a server. What it sends to others is shown, and nothing is done about it, unless --listen,\n" +
			"--allow-send or --allow-load say what it may reach: then it runs with the real clock, takes and sends events by HTTP and\n" +
			"loads documents, as far as that goes, and in this process, for which a chart with scripts needs --trust.\n\n" +
			"Input is a line of JSON an event: {\"name\": \"pay\", \"data\": {\"sum\": 3}}; {\"after\": \"1.5s\"} with or without a name lets the\n" +
			"virtual clock run on first. Output is a line of JSON a macrostep, the start included. On a terminal it asks for events\n" +
			"and offers those that have a transition now.\n\n" +
			"The clock is virtual when input is not a terminal: delayed sends come when the input says so. With --clock real they\n" +
			"come when they are due, and the program goes on after the end of input until --for is over.",
		Example: "  chartroom chart run order.scxml\n  echo '{\"name\": \"pay\"}' | chartroom chart run order.scxml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t := &tryRun{app: a, terminal: isTerminal(a.env.Stdin)}
			switch clock {
			case "":
				t.real = t.terminal
			case "real", "virtual":
				t.real = clock == "real"
			default:
				return usagef("--clock %q is neither real nor virtual", clock)
			}
			if args[0] == "-" {
				return usagef("standard input is for events: name a file")
			}
			document, folder, err := a.readFile(args[0])
			if err != nil {
				return err
			}
			open := chartwork.OpenRequest{Name: args[0], Document: document, Folder: folder}
			if data != "" {
				if err := json.Unmarshal([]byte(data), &open.Data); err != nil {
					return usagef("--data is not a JSON object: %w", err)
				}
			}
			t.after = after
			if network.any() {
				if clock == "virtual" {
					return usagef("--clock virtual does not go with a network")
				}
				t.real = true
				inUTC()
				r, err := network.request()
				if err != nil {
					return err
				}
				r.OpenRequest, r.StepTimeout, r.Trusted = open, flags.timeout, flags.trust
				return t.runLive(cmd.Context(), r)
			}
			if t.real {
				open.Now = time.Now()
			}
			work, done := flags.caller()
			defer done()
			t.work = work
			return t.run(cmd.Context(), open)
		},
	}
	f := cmd.Flags()
	f.StringVar(&clock, "clock", "", "real or virtual; empty for real on a terminal, else virtual")
	f.StringVar(&data, "data", "", "initial values of the datamodel, a JSON object")
	f.DurationVar(&after, "for", 0, "how long the clock runs on after the end of input")
	flags.register(cmd)
	network.register(cmd)
	return cmd
}

// isTerminal reports whether a reader or writer is one.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// tryRun is one call of chart run.
type tryRun struct {
	app            *app
	work           chartwork.Caller
	terminal, real bool
	after          time.Duration
	begun          time.Time
	// passed is how far the session's clock is.
	passed time.Duration
	last   chartwork.Report
	line   int
}

// input is a line of standard input.
type tryInput struct {
	Name  string `json:"name"`
	Event string `json:"event"`
	Data  any    `json:"data"`
	After string `json:"after"`
}

func (t *tryRun) run(ctx context.Context, open chartwork.OpenRequest) error {
	t.begun = time.Now()
	if err := t.call(ctx, chartwork.OpOpen, open); err != nil {
		if failure, ok := errors.AsType[*sandbox.Failure](err); ok {
			return usageError{failure}
		}
		if at, ok := chartwork.Where(err); ok {
			return fmt.Errorf("%s:%s: %w", open.Name, at, err)
		}
		return err
	}
	lines, failed := t.read(ctx)
	for !t.last.Finished {
		t.prompt()
		var due <-chan time.Time
		if t.real && !t.last.Due.IsZero() {
			due = time.After(time.Until(t.last.Due))
		}
		select {
		case line, ok := <-lines:
			if !ok {
				if err := <-failed; err != nil {
					return fmt.Errorf("read events: %w", err)
				}
				return t.rest(ctx)
			}
			t.line++
			if err := t.handle(ctx, line); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
		case <-due:
			if err := t.input(ctx, t.catchUp(), nil); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// read reads lines until the input or ctx ends.
func (t *tryRun) read(ctx context.Context) (<-chan []byte, <-chan error) {
	lines, failed := make(chan []byte), make(chan error, 1)
	go func() {
		defer close(lines)
		s := bufio.NewScanner(t.app.env.Stdin)
		s.Buffer(nil, maxLine)
		for s.Scan() {
			select {
			case lines <- bytes.Clone(s.Bytes()):
			case <-ctx.Done():
				failed <- nil
				return
			}
		}
		failed <- s.Err()
	}()
	return lines, failed
}

// catchUp is how far the clock of the session is behind the real one.
func (t *tryRun) catchUp() time.Duration {
	if !t.real {
		return 0
	}
	d := time.Since(t.begun) - t.passed
	// A timer may be early by less than what delays are measured in.
	if !t.last.Due.IsZero() && time.Until(t.last.Due) < time.Millisecond {
		d += time.Millisecond
	}
	return d
}

func (t *tryRun) input(ctx context.Context, advance time.Duration, ev *chartwork.Event) error {
	t.passed += advance
	return t.call(ctx, chartwork.OpInput, chartwork.InputRequest{Advance: advance, Event: ev})
}

// rest lets the clock run on after the end of input.
func (t *tryRun) rest(ctx context.Context) error {
	if t.after <= 0 {
		return nil
	}
	if !t.real {
		return t.input(ctx, t.after, nil)
	}
	end := time.After(t.after)
	for !t.last.Finished {
		var due <-chan time.Time
		if !t.last.Due.IsZero() {
			due = time.After(time.Until(t.last.Due))
		}
		select {
		case <-due:
			if err := t.input(ctx, t.catchUp(), nil); err != nil {
				return err
			}
		case <-end:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// handle does what a line says.
func (t *tryRun) handle(ctx context.Context, line []byte) error {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return nil
	}
	in, err := t.parse(line)
	var after time.Duration
	if err == nil && in.After != "" {
		if after, err = time.ParseDuration(in.After); err != nil || after < 0 {
			err = usagef("line %d: after %q is no duration such as 1.5s", t.line, in.After)
		}
	}
	if err != nil {
		if t.terminal && !errors.Is(err, io.EOF) {
			fmt.Fprintln(t.app.env.Stdout, err)
			return nil
		}
		return err
	}
	advance := t.catchUp()
	if in.After != "" {
		if t.real {
			select {
			case <-time.After(after):
			case <-ctx.Done():
				return ctx.Err()
			}
			advance = t.catchUp()
		} else {
			advance = after
		}
	}
	var ev *chartwork.Event
	if name := or(in.Name, in.Event); name != "" {
		ev = &chartwork.Event{Name: name, Data: in.Data}
	}
	return t.input(ctx, advance, ev)
}

// parse reads a line: JSON, or on a terminal NAME [JSON], a number of the offer,
// wait DURATION, quit.
func (t *tryRun) parse(line []byte) (in tryInput, err error) {
	if !t.terminal || line[0] == '{' {
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		err := d.Decode(&in)
		if err == nil && d.More() {
			err = errors.New("there is more than one value on the line")
		}
		if err == nil && in.Name == "" && in.Event == "" && in.After == "" {
			err = errors.New("it names no event")
		}
		if err != nil {
			return in, usagef("line %d is not {\"name\": EVENT, \"data\": JSON, \"after\": DURATION}: %w", t.line, err)
		}
		return in, nil
	}
	word, rest, _ := strings.Cut(string(line), " ")
	rest = strings.TrimSpace(rest)
	if n, err := strconv.Atoi(word); err == nil && n >= 1 && n <= len(t.last.Enabled) {
		word = t.last.Enabled[n-1]
	}
	switch word {
	case "quit", "exit":
		return in, io.EOF
	case "wait":
		in.After = rest
		return in, nil
	}
	in.Name = word
	if rest != "" {
		if err := json.Unmarshal([]byte(rest), &in.Data); err != nil {
			return in, usagef("the data of %s are not JSON: %w", word, err)
		}
	}
	return in, nil
}

// call does an operation and shows the steps.
func (t *tryRun) call(ctx context.Context, op string, in any) error {
	var r chartwork.Report
	err := t.work.Call(ctx, op, in, &r)
	if errors.Is(err, sandbox.ErrBroken) {
		if !t.terminal {
			_ = t.encode(map[string]any{"fault": err.Error()})
		}
		return fmt.Errorf("the session is lost: %w", err)
	}
	if err != nil {
		return err
	}
	t.last = r
	for _, s := range r.Steps {
		if err := t.show(s); err != nil {
			return err
		}
	}
	return nil
}

func (t *tryRun) show(s chartwork.Step) error {
	if t.terminal {
		if s.Session != "" {
			fmt.Fprintf(t.app.env.Stdout, "[%s]\n", s.Session)
		}
		_, err := io.WriteString(t.app.env.Stdout, s.Text)
		return err
	}
	s.Text = ""
	return t.encode(s)
}

// encode writes a line of JSON.
func (t *tryRun) encode(v any) error {
	e := json.NewEncoder(t.app.env.Stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// prompt offers the events that have a transition.
func (t *tryRun) prompt() {
	if !t.terminal {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "in %s\n", strings.Join(t.last.Configuration, " "))
	for i, e := range t.last.Enabled {
		fmt.Fprintf(&b, "  %d %s\n", i+1, e)
	}
	if !t.last.Due.IsZero() {
		fmt.Fprintf(&b, "  (a delayed event is due in %s)\n", time.Until(t.last.Due).Round(100*time.Millisecond))
	}
	b.WriteString("event [JSON], a number, wait DURATION or quit> ")
	_, _ = io.WriteString(t.app.env.Stdout, b.String())
}
