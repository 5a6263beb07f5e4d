// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/scxmlenv"
)

// Judgement is a manual test of W3C's plan, documented.
type Judgement struct {
	// Holds says whether what is looked for was seen. It is a proposal: the
	// judge is the reader of Log.
	Holds bool `json:"holds"`
	// Look is what has to be seen in the log.
	Look string `json:"look"`
	// Log is what was seen.
	Log []string `json:"log"`
}

// manuals are the manual tests by id: what to look for, and what finds it.
var manuals = map[string]struct {
	look string
	seen func(log []string) bool
}{
	"178": {"both values of the parameter given twice, 2 and 3, are in the message that is logged", func(log []string) bool {
		return has(log, `[{"name":"Var1","value":2},{"name":"Var1","value":3}]`) && has(log, "ended in final")
	}},
	"230": {"the child logs the same fields as the parent", sameFields},
	"250": {"the <onexit> of both states of the cancelled child has run", func(log []string) bool {
		return has(log, "Exiting sub01") && has(log, "Exiting sub0") && !has(log, "not cancelled")
	}},
	"301": {"the document is rejected, because its script cannot be loaded", func(log []string) bool {
		return has(log, "rejected:")
	}},
	"307": {"a variable that is not bound yet, and a property that does not exist, are no values", func(log []string) bool {
		return has(log, "ended in final") && !has(log, "Var 1 is: 1")
	}},
	"313": {"an illegal expression is an error when it is evaluated, or the document is rejected", ended},
	"314": {"the same, and not before it is reached", ended},
	"415": {"the session has ended, and nothing is after it", func(log []string) bool {
		return len(log) > 0 && strings.HasPrefix(log[len(log)-1], "ended in final")
	}},
	"513": {"a request to the address of the session is answered with status 200, and becomes an event", func(log []string) bool {
		return has(log, "answered: 200 OK") && !has(log, "failed") && has(log, "ended in pass")
	}},
}

// overHTTPTime is how much real time an exchange over HTTP may take.
const overHTTPTime = 5 * time.Second

func ended(log []string) bool { return has(log, "ended in pass") || has(log, "rejected:") }

func has(log []string, part string) bool {
	return slices.ContainsFunc(log, func(l string) bool { return strings.Contains(l, part) })
}

// sameFields compares what parent and child logged of the forwarded event.
func sameFields(log []string) bool {
	var parent, child []string
	for _, l := range log {
		if _, rest, ok := strings.Cut(l, ": log "); ok && !strings.HasPrefix(l, "log ") {
			child = append(child, rest)
		} else if rest, ok := strings.CutPrefix(l, "log "); ok {
			parent = append(parent, rest)
		}
	}
	return len(parent) > 0 && slices.Equal(parent, child)
}

// Judge runs a manual test of W3C's plan and documents what happened. Ids that
// are not in the plan are documented without a proposal.
func (c Case) Judge() Judgement {
	m := manuals[c.Name]
	j := Judgement{Look: m.look}
	switch {
	case c.Name == "513":
		j.Log = basicHTTP()
	case filepath.Ext(c.File) == ".scxml":
		j.Log, _ = runW3C(c.File, false)
	default:
		j.Log = []string{"there is nothing to run: " + filepath.Base(c.File) + " is an instruction"}
	}
	j.Holds = m.seen != nil && m.seen(j.Log)
	return j
}

// basicHTTP does what the instruction of test 513 says: it sends requests to a
// session. The instruction names the event in a header, the specification in a field of
// the form (SCXML C.2.1): it does both.
func basicHTTP() []string {
	const form = "key1=value1&key2=value2"
	return overHTTP(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
  <state id="s"><transition event="HTTP.POST" target="named"><log label="event HTTP.POST" expr="_event.data"/></transition></state>
  <state id="named"><transition event="test" cond="_event.data.key1 == 'value1'" target="pass"><log label="event test" expr="_event.data"/></transition></state>
  <final id="pass"/></scxml>`, func(ctx context.Context, address string) (log []string, err error) {
		for _, r := range []struct {
			header http.Header
			body   string
		}{
			{http.Header{"_scxmleventname": {"test"}}, form},
			{nil, form + "&_scxmleventname=test"},
		} {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(r.body))
			if err != nil {
				return log, err
			}
			maps.Copy(request.Header, r.header)
			request.Header.Set("Content-Type", scxml.FormType)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return log, err
			}
			_ = response.Body.Close()
			log = append(log, fmt.Sprintf("POST %s, header %v, form %s, answered: %s", address, r.header, r.body, response.Status))
		}
		return log, nil
	})
}

// overHTTP runs a document of our own on the real clock, with an address at the
// loopback interface that then sends to, and tells its log.
func overHTTP(document string, then func(ctx context.Context, address string) (log []string, err error)) (log []string) {
	fail := func(err error) []string { return append(log, fmt.Sprintf("failed: %v", err)) }
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fail(err)
	}
	ended := make(chan struct{})
	var session []string // belongs to Run until that has returned
	live, err := scxmlenv.NewLive(scxmlenv.LiveConfig{
		Config: scxmlenv.Config{Observe: func(s *scxmlenv.Session, step scxml.Macrostep) {
			if session = append(session, lines(s, step)...); step.Done != nil {
				close(ended)
			}
		}},
		Listener: listener,
	})
	if err != nil {
		_ = listener.Close()
		return fail(err)
	}
	chart, err := live.Compile("manual", []byte(document), "")
	if err != nil {
		_ = listener.Close()
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), overHTTPTime)
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- live.Run(ctx) }()
	address := live.Address("manual")
	err = live.Do(ctx, func(e *scxmlenv.Env) error {
		_, err := e.Start(chart, scxml.Input{SessionID: "manual"})
		return err
	})
	if err == nil {
		log, err = then(ctx, address)
	}
	if err == nil {
		select {
		case <-ended:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	cancel()
	err = errors.Join(err, <-ran)
	log = append(log, session...)
	if err != nil {
		return fail(err)
	}
	return log
}
