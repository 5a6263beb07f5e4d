// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/chartroom/chartroom/internal/cli"
)

// A command returns when what it asked for has happened, so that the next one is not
// refused: as in chartroom stop app && chartroom start app.
func TestCommandsInARow(t *testing.T) {
	t.Parallel()
	address, stop := serve(t, t.TempDir(), 0)
	defer stop()
	call := func(want cli.Code, arguments string) string {
		t.Helper()
		var out, said bytes.Buffer
		code := cli.Main(t.Context(), strings.Fields(arguments), cli.Env{
			Stdin: strings.NewReader(""), Stdout: &out, Stderr: &said,
			Getenv: func(name string) string { return map[string]string{"CHARTROOM_SERVER": address}[name] },
		})
		if code != int(want) {
			t.Fatalf("chartroom %s: exit code %d, want %d\n%s%s", arguments, code, want, out.String(), said.String())
		}
		return out.String() + said.String()
	}
	for !strings.Contains(call(cli.OK, "get hosts"), "connected") {
	}
	const socket = " -e CHARTROOM_SOCKET=/run/chartroom/app.sock -v chartroom-run:/run/chartroom any "
	call(cli.OK, "run --name app"+socket+"app")
	call(cli.OK, "wait app --state running --timeout 30s")
	for _, step := range []struct {
		command string
		want    cli.Code
		says    string
	}{
		{"pause app", cli.OK, "is paused: Paused."},
		{"unpause app", cli.OK, "is running: "},
		{"snapshot take app", cli.OK, "app: its state is snapshot #"},
		{"restart app", cli.OK, "is running: Running, resumed from snapshot #"},
		{"kill app", cli.OK, "is user_requested: Stopped on request: exit 137."},
		{"start app", cli.OK, "is running: Running, resumed from snapshot #"},
		{"kill -s HUP app", cli.OK, "is running: "}, // it lives on
		{"stop app", cli.OK, "is user_requested: Stopped on request"},
		{"start app", cli.OK, "is running: "},
		{"snapshot restore app 1", cli.OK, "is running: Running, resumed from snapshot #1."},
		{"stop app", cli.OK, "is user_requested: "},
		{"rm app", cli.OK, "is destroyed: Removed; "},
		{"rm app", cli.OK, "app: remove accepted\n"}, // the record
		{"describe app", cli.NotFound, ""},
	} {
		if said := call(step.want, step.command); !strings.Contains(said, step.says) {
			t.Errorf("chartroom %s: %q, want %q", step.command, said, step.says)
		}
	}

	// What cannot be done is an error that says why, and what is not seen a timeout.
	call(cli.OK, "create --name bad -l chartroom.restart.max=0"+socket+"exit 3")
	if said := call(cli.Failed, "start bad"); !strings.Contains(said, "start bad: it was accepted, and has failed: bad@here is given_up: Given up after 0 attempts: exit 3") {
		t.Errorf("start of a program that ends at once: %q", said)
	}
	call(cli.OK, "run --name stays any stubborn")
	call(cli.OK, "wait stays --state running --timeout 30s")
	if said := call(cli.TimedOut, "stop --timeout 1ns stays"); !strings.Contains(said, "stop stays: it was accepted, and is not seen to be done yet") {
		t.Errorf("stop of what does not end: %q", said)
	}
	if said := call(cli.OK, "start --no-wait bad"); said != "bad: start accepted\n" {
		t.Errorf("start --no-wait: %q", said)
	}
}
