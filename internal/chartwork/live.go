// SPDX-License-Identifier: AGPL-3.0-or-later

package chartwork

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/scxmlenv"
)

// LiveRequest starts a session that somebody runs in this process, with the real
// clock and the network.
type LiveRequest struct {
	// OpenRequest is what to start. Documents may be loaded from its Folder; Now
	// is not used.
	OpenRequest
	// Access is what else the charts may reach.
	Access scxmlenv.Access
	// Listener is where sessions take events by HTTP; nil lets them take none.
	Listener net.Listener
	// StepTimeout is what a step may take, see scxmlenv.LiveConfig.
	StepTimeout time.Duration
	// Trusted lets charts run that are not bounded (scxml.Chart.Bounded).
	Trusted bool
}

// Live is a session that runs, with those that it invoked. Make it with [NewLive].
type Live struct {
	live  *scxmlenv.Live
	chart *scxml.Chart
	data  map[string]any
	trial trial
	show  func(Report)
}

// rootID is the id of the session that is started.
const rootID = "session"

// NewLive checks r. Each step is given to show in a report of its own, by the
// goroutine of [Live.Run].
func NewLive(r LiveRequest, show func(Report)) (*Live, error) {
	l := &Live{data: r.Data, show: show}
	config := scxmlenv.LiveConfig{
		Config: scxmlenv.Config{
			Options: scxml.Options{SendTargets: []string{"#_scxml_"}},
			Observe: l.observe,
			// Types that are others' are shown, as without a network.
			Perform: func(_ *scxmlenv.Session, e scxml.Effect) bool {
				send, ok := e.(scxml.Send)
				return !ok || send.Type != scxml.SCXMLProcessor && send.Type != scxml.BasicHTTPProcessor
			},
		},
		Access: r.Access, Listener: r.Listener, StepTimeout: r.StepTimeout,
	}
	accept := func(c *scxml.Chart) error {
		if r.Trusted || c.Bounded() {
			return nil
		}
		return fmt.Errorf("%s has scripts or calls of functions, and with a network it runs in this process: it has to be trusted", c.Name())
	}
	config.Accept = accept
	if r.Folder != "" {
		base, err := FileURL(r.Folder)
		if err != nil {
			return nil, err
		}
		config.Base = base
		config.Access.Load = append([]string{base}, r.Access.Load...)
	}
	var err error
	if l.live, err = scxmlenv.NewLive(config); err != nil {
		return nil, err
	}
	if l.chart, err = l.live.Compile(r.Name, r.Document, ""); err != nil {
		return nil, err
	}
	return l, accept(l.chart)
}

// FileURL is the URL of a folder, with a "/" at its end.
func FileURL(folder string) (string, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	u := url.URL{Scheme: "file", Path: strings.TrimSuffix(filepath.ToSlash(folder), "/") + "/"}
	return u.String(), nil
}

// Address is where the session takes events by HTTP; empty without a listener.
func (l *Live) Address() string { return l.live.Address(rootID) }

// Run runs the session and those that it invokes until ctx ends.
func (l *Live) Run(ctx context.Context) error { return l.live.Run(ctx) }

// Start starts the session.
func (l *Live) Start(ctx context.Context) error {
	return l.live.Do(ctx, func(e *scxmlenv.Env) error {
		l.trial.env = e
		_, err := e.Start(l.chart, scxml.Input{SessionID: rootID, Data: l.data})
		return err
	})
}

// Deliver delivers the event that make gives, or none. make is called by the
// goroutine of Run, after the steps before.
func (l *Live) Deliver(ctx context.Context, make func() (*Event, error)) error {
	return l.live.Do(ctx, func(e *scxmlenv.Env) error {
		ev, err := make()
		if err != nil || ev == nil {
			return err
		}
		return e.Deliver(l.trial.root, scxml.Event{Name: ev.Name, Data: ev.Data})
	})
}

// Settle waits until nothing is left to happen but delayed sends.
func (l *Live) Settle(ctx context.Context) error { return l.live.Settle(ctx) }

func (l *Live) observe(s *scxmlenv.Session, step scxml.Macrostep) {
	if l.trial.root == nil {
		l.trial.root = s
	}
	l.trial.observe(s, step)
	l.show(l.trial.report())
}
