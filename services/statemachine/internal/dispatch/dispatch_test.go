// SPDX-License-Identifier: AGPL-3.0-or-later

package dispatch

import (
	"log/slog"
	"testing"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	"github.com/chartroom/chartroom/services/statemachine/internal/session"
)

// An agent that has more to do than may wait for it is welcomed with all of it, and
// is not cut off for that; what comes later is bounded.
func TestWelcomeWithMoreThanMayWait(t *testing.T) {
	t.Parallel()
	d := New(func(session.Input) bool { return true }, slog.New(slog.DiscardHandler))
	c := NewConn("h1", "j")
	if !d.Claim(c) {
		t.Fatal("the host is taken")
	}
	welcome := &session.Welcome{Host: "h1", Conn: c, Message: &agentv1.Welcome{}}
	for range outgoing + 1 {
		welcome.Commands = append(welcome.Commands, &agentv1.Command{})
	}
	d.Dispatch(0, session.Fence{}, []session.Effect{welcome})
	select {
	case <-c.Closed():
		why, _ := c.Why()
		t.Fatalf("cut off: %s", why)
	default:
	}
	if got, want := len(<-c.Out()), outgoing+2; got != want {
		t.Errorf("welcomed with %d messages, want %d", got, want)
	}
	for range outgoing + 1 {
		d.Dispatch(0, session.Fence{}, []session.Effect{&session.Command{Host: "h1", Command: &agentv1.Command{}}})
	}
	<-c.Closed()
}
