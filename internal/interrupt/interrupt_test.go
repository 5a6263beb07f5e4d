// SPDX-License-Identifier: AGPL-3.0-or-later

package interrupt_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/chartroom/chartroom/internal/interrupt"
)

// child is set in the environment of a test binary that shall be a program: to
// "nohup" when it shall be one that was started to ignore SIGHUP.
const child = "CHARTROOM_TEST_PROGRAM"

func TestMain(m *testing.M) {
	switch os.Getenv(child) {
	case "nohup":
		signal.Ignore(syscall.SIGHUP)
		run()
	case "plain":
		// The tests themselves may run under nohup: take that back.
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP)
		signal.Stop(hangups)
		run()
	}
	os.Exit(m.Run())
}

// run is the program: it ends by a signal or, when that is ignored, at the end of
// its standard input.
func run() {
	ctx, stop := interrupt.Context(context.Background())
	fmt.Println("ready")
	ended := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(ended) }()
	select {
	case <-ctx.Done():
		fmt.Println("ended in order")
	case <-ended:
	}
	stop()
	os.Exit(0)
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, program string
		signal        syscall.Signal
		want          string
	}{
		{"interrupt", "plain", syscall.SIGINT, "ended in order\n"},
		{"terminate", "plain", syscall.SIGTERM, "ended in order\n"},
		{"terminal closed", "plain", syscall.SIGHUP, "ended in order\n"},
		{"terminal closed under nohup", "nohup", syscall.SIGHUP, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), child+"="+test.program)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			out := bufio.NewReader(pipe)
			if line, err := out.ReadString('\n'); err != nil || line != "ready\n" {
				t.Fatalf("the program says %q (%v), want ready", line, err)
			}
			if err := cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			if test.want == "" {
				_ = in.Close()
			}
			said, err := io.ReadAll(out)
			if err = errors.Join(err, cmd.Wait()); err != nil || string(said) != test.want {
				t.Errorf("after %v: got %q (%v), want %q", test.signal, said, err, test.want)
			}
		})
	}
}
