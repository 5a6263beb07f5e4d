// SPDX-License-Identifier: AGPL-3.0-or-later

package cli_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/chartroom/chartroom/internal/cli"
)

// pseudoTerminal gives both ends of a terminal: what is written to the first is typed
// at the second.
func pseudoTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("there are no pseudo-terminals here")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = person.Close() })
	control, err := person.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number, unlock int32
	var failed syscall.Errno
	ioctl := func(fd, request uintptr, value *int32) {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(value))); errno != 0 {
			failed = errno
		}
	}
	err = control.Control(func(fd uintptr) {
		ioctl(fd, syscall.TIOCSPTLCK, &unlock)
		ioctl(fd, syscall.TIOCGPTN, &number)
	})
	if err != nil || failed != 0 {
		t.Fatal(err, failed)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

// until reads what the terminal shows up to and with the text end.
func until(t *testing.T, person *os.File, end string) string {
	t.Helper()
	if err := person.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for b := make([]byte, 1); !strings.HasSuffix(shown.String(), end); {
		if _, err := person.Read(b); err != nil {
			t.Fatalf("%v; %q was not shown, but\n%s", err, end, &shown)
		}
		shown.Write(b)
	}
	return strings.ReplaceAll(shown.String(), "\r\n", "\n")
}

// On a terminal chart run offers the events that have a transition, shows steps in
// words, takes a number, a name with data, a time to wait and quit, and asks again after
// what it does not understand.
func TestChartRunOnATerminal(t *testing.T) {
	t.Parallel()
	chart := filepath.Join(files(t, map[string]string{"door.scxml": strings.Replace(doorChart, `delay="2s"`, `delay="1h"`, 1)}), "door.scxml")
	begin := func() (person *os.File, code <-chan int) {
		person, program := pseudoTerminal(t)
		ended := make(chan int, 1)
		go func() {
			ended <- cli.Main(t.Context(), []string{"chart", "run", chart}, cli.Env{
				Stdin: program, Stdout: program, Stderr: program, Getenv: func(string) string { return "" },
			})
		}()
		return person, ended
	}
	const prompt = "quit> "
	person, ended := begin()
	for _, exchange := range []struct{ typed, want string }{
		{"", "enter closed\nin closed\n  1 open\n"},
		{"1", "open: exit closed; take closed->ajar on open; enter ajar;"},
		{"nonsense {", "the data of nonsense are not JSON"},
		{"wait long", `after "long" is no duration`},
		{"shut", "shut: exit ajar; take ajar->closed on wind shut; enter closed\nin closed\n"},
		{`open {"by": 3}`, "open: exit closed"},
		{"wait 1ms", "in ajar\n  1 lock\n  2 shut\n  3 wind\n  (a delayed event is due in "},
	} {
		if exchange.typed != "" {
			if _, err := person.WriteString(exchange.typed + "\n"); err != nil {
				t.Fatal(err)
			}
		}
		if shown := until(t, person, prompt); !strings.Contains(shown, exchange.want) {
			t.Errorf("%q shows\n%s\nwant\n%s", exchange.typed, shown, exchange.want)
		}
	}
	if _, err := person.WriteString("lock\n"); err != nil {
		t.Fatal(err)
	}
	if shown := until(t, person, "state=pass\r\n"); !strings.Contains(shown, "enter pass") {
		t.Errorf("the end shows\n%s", shown)
	}
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d at the end of the chart, want 0", code)
	}
	person, ended = begin()
	until(t, person, prompt)
	if _, err := person.WriteString("quit\n"); err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d after quit, want 0", code)
	}
}
