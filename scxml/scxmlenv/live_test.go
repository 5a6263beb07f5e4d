// SPDX-License-Identifier: Apache-2.0

package scxmlenv_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/scxmlenv"
	"github.com/google/go-cmp/cmp"
)

// patience bounds each wait for something that comes by itself.
const patience = 20 * time.Second

// running is a Live that runs, and what its sessions log.
type running struct {
	*scxmlenv.Live
	t    *testing.T
	logs chan string
	stop func() error
}

// run starts a Live that takes events by HTTP. Its charts say what happens by <log>.
func run(t *testing.T, c scxmlenv.LiveConfig) *running {
	t.Helper()
	r := &running{t: t, logs: make(chan string, 1000)}
	c.Observe = func(s *scxmlenv.Session, step scxml.Macrostep) {
		for _, e := range step.Effects {
			if l, ok := e.(scxml.Log); ok {
				r.logs <- strings.TrimSpace(fmt.Sprint(l.Label, " ", l.Value))
			}
		}
		if step.Done != nil && s.Parent == nil {
			r.logs <- "done " + step.Done.State + step.Done.Fault
		}
	}
	if c.Listener == nil {
		var err error
		if c.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if r.Live, err = scxmlenv.NewLive(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return r
}

// start starts a session of a chart with this content.
func (r *running) start(id, content string) {
	r.t.Helper()
	c, err := r.Compile(id+".scxml", document(content), "")
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.Do(r.t.Context(), func(e *scxmlenv.Env) error {
		_, err := e.Start(c, scxml.Input{SessionID: id})
		return err
	}); err != nil {
		r.t.Fatal(err)
	}
}

func document(content string) []byte {
	return []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">` + content + `</scxml>`)
}

// says waits for the next log and compares it.
func (r *running) says(want string) {
	r.t.Helper()
	select {
	case got := <-r.logs:
		if !strings.Contains(got, want) {
			r.t.Fatalf("the charts say %q, want %q", got, want)
		}
	case <-time.After(patience):
		r.t.Fatalf("the charts say nothing, want %q", want)
	}
}

// post sends a request to a session and gives the status.
func (r *running) post(url, contentType, body string, header ...string) int {
	r.t.Helper()
	q, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("Content-Type", contentType)
	for i := 0; i+1 < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// telling logs every event with its sendid or invokeid, and data.
const telling = `<transition event="*"><log label="got" expr="_event.name + ' ' + (_event.sendid || _event.invokeid || '') + ' ' + JSON.stringify(_event.data)"/></transition>`

func state(onentry string) string {
	return `<state id="s"><onentry>` + onentry + `</onentry>` + telling + `</state>`
}

// The story of parent and child that the virtual clock tells, too: a param, a delay,
// an answer, finalize, the end.
func TestLiveInvokes(t *testing.T) {
	t.Parallel()
	r := run(t, scxmlenv.LiveConfig{})
	_, content, _ := strings.Cut(strings.ReplaceAll(parent, "2s", "5ms"), ">")
	r.start("parent", strings.TrimSuffix(content, "</scxml>"))
	r.says("done happy")
	if err := r.Do(t.Context(), func(e *scxmlenv.Env) error {
		if n := len(e.Sessions()); n != 0 {
			t.Errorf("%d sessions run, want none", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Sends go to the child, to the parent, to a session by its id, and on to a child
// with autoforward.
func TestLiveRoutes(t *testing.T) {
	t.Parallel()
	r := run(t, scxmlenv.LiveConfig{})
	r.start("other", state(""))
	r.start("parent", `<state id="s">
	  <invoke id="c" autoforward="true"><content><scxml version="1.0" datamodel="ecmascript"><state id="t">
	    <transition event="ping"><send target="#_parent" event="pong"/><send target="#_scxml_other" event="hello"/></transition>
	    <transition event="go"><send target="#_parent" event="forwarded"/></transition>
	  </state></scxml></content></invoke>
	  <onentry><send event="begin" delay="1ms"/></onentry>
	  <transition event="begin"><send target="#_c" event="ping"/></transition>
	  <transition event="pong"><log expr="'pong from ' + _event.invokeid"/><send target="#_scxml_parent" event="go"/></transition>
	  <transition event="forwarded"><log expr="'forwarded'"/><send id="lost" target="#_scxml_nobody" event="x"/></transition>
	  <transition event="error.communication"><log expr="'lost ' + _event.sendid"/></transition>
	</state>`)
	seen := map[string]bool{}
	for range 4 {
		select {
		case got := <-r.logs:
			seen[got] = true
		case <-time.After(patience):
			t.Fatalf("only %v", seen)
		}
	}
	want := map[string]bool{"pong from c": true, "got hello  undefined": true, "forwarded": true, "lost lost": true}
	if d := cmp.Diff(want, seen); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Events by HTTP between two environments: each is allowed to send to the other.
func TestLiveSendsByHTTP(t *testing.T) {
	t.Parallel()
	b := run(t, scxmlenv.LiveConfig{})
	b.start("b", state(""))
	u := b.Address("b")
	a := run(t, scxmlenv.LiveConfig{Access: scxmlenv.Access{Send: []string{u}}})
	a.start("a", state(`<send type="http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor" target="`+u+`" event="one"><param name="n" expr="'1'"/></send>
	  <send type="http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor" target="`+u+`" event="two"/>
	  <send type="http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor" target="`+u+`"><content>text</content></send>`))
	// One after the other.
	b.says(`got one  {"n":"1"}`)
	b.says(`got two`)
	b.says(`got HTTP.POST  "text"`)
}

func TestLiveSendsFail(t *testing.T) {
	t.Parallel()
	answers := http.NewServeMux()
	answers.HandleFunc("/500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	answers.HandleFunc("/elsewhere", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/fine", http.StatusTemporaryRedirect)
	})
	answers.HandleFunc("/fine", func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	answers.HandleFunc("/never", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body); <-r.Context().Done() })
	server := httptest.NewServer(answers)
	t.Cleanup(server.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + closed.Addr().String() + "/"
	_ = closed.Close()
	config := scxmlenv.LiveConfig{Access: scxmlenv.Access{Send: []string{server.URL, nobody}}, MaxBytes: 1000, Timeout: patience}
	r := run(t, config)
	for i, test := range []struct{ target, want string }{
		{server.URL + "/500", "status 500"},
		{server.URL + "/elsewhere", "status 307"},
		{nobody, "refused"},
		{"http://example.com/", "is not allowed"},
		{r.Address("nobody"), "status 404"},
		{"ftp://example.com/", "is not allowed"},
		{"::", "missing protocol scheme"},
	} {
		id := fmt.Sprint("s", i)
		r.start(id, state(`<send id="it" type="basichttp" target="`+test.target+`" event="x"/>`))
		r.says(test.want)
	}
	r.start("long", state(`<send id="it" type="basichttp" target="`+server.URL+`/fine" event="x"><param name="p" expr="Array(2000).join('x')"/></send>`))
	r.says("got error.communication it {\"reason\":\"send to")

	config.Timeout = 50 * time.Millisecond // which no other request here has to be answered in
	r = run(t, config)
	r.start("s", state(`<send id="it" type="basichttp" target="`+server.URL+`/never" event="x"/>`))
	r.says("deadline exceeded")
}

func TestLiveTakesByHTTP(t *testing.T) {
	t.Parallel()
	r := run(t, scxmlenv.LiveConfig{MaxBytes: 1000})
	r.start("s", state(""))
	at := r.Address("s")
	const form = "application/x-www-form-urlencoded"
	for _, test := range []struct {
		name, url, contentType, body string
		header                       []string
		status                       int
		says                         string
	}{
		{"form", at, form, "_scxmleventname=hello&a=1", nil, 200, `got hello  {"a":"1"}`},
		{"unnamed", at, "application/json", `{"b":[2]}`, nil, 200, `got HTTP.POST  {"b":[2]}`},
		{"not in UTF-8", at, "text/plain", "\xff", nil, 400, ""},
		{"not in UTF-8 by escapes", at, form, "_scxmleventname=e&%ff=%fe", nil, 200, "got e  {\"\uFFFD\":\"\uFFFD\"}"},
		{"too long", at, "text/plain", strings.Repeat("x", 2000), nil, 413, ""},
		{"nobody", r.Address("t"), form, "a=1", nil, 404, ""},
		{"from a page of another site", at, form, "_scxmleventname=evil", []string{"Sec-Fetch-Site", "cross-site"}, 403, ""},
		{"last", at, form, "_scxmleventname=last", nil, 200, "got last"},
	} {
		if got := r.post(test.url, test.contentType, test.body, test.header...); got != test.status {
			t.Errorf("%s: status %d, want %d", test.name, got, test.status)
		}
		if test.says != "" {
			r.says(test.says)
		}
	}
	response, err := http.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != "POST" {
		t.Errorf("GET is answered with %d, Allow %q", response.StatusCode, response.Header.Get("Allow"))
	}
}

// The address of a session is one path segment, whatever its id; a listener at all
// addresses is known by one that can be reached.
func TestLiveAddresses(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, scxmlenv.LiveConfig{Listener: listener})
	for _, id := range []string{"a/b", "a b?c", "../ä%2f"} {
		r.start(id, state(`<log label="at" expr="_ioprocessors.basichttp.location"/>`))
		r.says("at http://localhost:")
		if got := r.post(r.Address(id), "text/plain", "x"); got != 200 {
			t.Errorf("%s: status %d", r.Address(id), got)
		}
		r.says("got HTTP.POST")
	}
	if got := run(t, scxmlenv.LiveConfig{URL: "https://charts.example/all"}).Address("s"); got != "https://charts.example/all/s" {
		t.Errorf("behind a proxy it is known as %s", got)
	}
}

// SCXML C.2.1: 2xx means that the event is in the queue; one that does not fit is
// refused. The session that would take them is held up by Do.
func TestLiveAnswersWhenQueued(t *testing.T) {
	t.Parallel()
	r := run(t, scxmlenv.LiveConfig{Config: scxmlenv.Config{MaxQueue: 2}})
	r.start("s", state(""))
	at, held, goOn := r.Address("s"), make(chan struct{}), make(chan struct{})
	go func() {
		_ = r.Do(t.Context(), func(*scxmlenv.Env) error { close(held); <-goOn; return nil })
	}()
	<-held
	status := make(chan int, 1)
	go func() { status <- r.post(at, "text/plain", "x") }()
	select {
	case got := <-status:
		t.Errorf("answered with %d before it was queued", got)
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	if got := <-status; got != 200 {
		t.Errorf("status %d, want 200", got)
	}
	r.says("got HTTP.POST")
	// Two fit, the third does not.
	if err := r.Do(t.Context(), func(e *scxmlenv.Env) error {
		for i, want := range []bool{true, true, false} {
			if err := e.Deliver(e.Sessions()[0], scxml.Event{Name: "e"}); (err == nil) != want {
				t.Errorf("event %d: %v", i, err)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// What is sent to a child that is being loaded waits for it; a child whose state is
// left meanwhile never begins.
func TestLiveWaitsForTheChild(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-answer
		_, _ = w.Write(document(`<state id="t"><onentry><log label="begun"/></onentry><transition event="*"><log label="child got" expr="_event.name"/></transition></state>`))
	}))
	t.Cleanup(server.Close)
	r := run(t, scxmlenv.LiveConfig{Access: scxmlenv.Access{Load: []string{server.URL}}})
	chart := `<state id="s"><invoke id="c" src="` + server.URL + `/"/>
	  <transition event="ask"><send target="#_c" event="a"/><send target="#_c" event="b"/><log label="asked"/></transition>
	  <transition event="leave" target="left"/></state>
	  <state id="left"><onentry><log label="left"/></onentry>` + telling + `</state>`
	r.start("one", chart)
	<-asked
	r.post(r.Address("one"), "application/x-www-form-urlencoded", "_scxmleventname=ask")
	r.says("asked")
	answer <- struct{}{}
	r.says("begun")
	r.says("child got a")
	r.says("child got b")

	r.start("two", chart)
	<-asked
	r.post(r.Address("two"), "application/x-www-form-urlencoded", "_scxmleventname=leave")
	r.says("left")
	answer <- struct{}{}
	r.start("three", state(`<log label="three"/>`))
	r.says("three")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-r.logs:
		t.Errorf("then the charts say %q", got)
	default:
	}
}

// A step that does not end costs its session its life; the parent is told, others go on.
func TestLiveInterrupts(t *testing.T) {
	t.Parallel()
	// Of the wall: it is to be enough for the steps that end, however busy the machine is.
	r := run(t, scxmlenv.LiveConfig{StepTimeout: 500 * time.Millisecond})
	r.start("parent", `<state id="s"><invoke id="c"><content><scxml version="1.0" datamodel="ecmascript">
	  <state id="t"><invoke><content><scxml version="1.0"><state id="u"/></scxml></content></invoke>
	  <onentry><send event="go" delay="1ms"/></onentry><transition event="go"><script>for(;;);</script></transition></state></scxml></content></invoke>`+telling+`</state>`)
	r.says(`got error.communication c {"reason":"invoke c: it was ended: a step took too long`)
	if err := r.Do(t.Context(), func(e *scxmlenv.Env) error {
		if n := len(e.Sessions()); n != 1 {
			t.Errorf("%d sessions run, want the parent alone", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r.start("endless", `<script>for(;;);</script><state id="s"/>`)
	r.says("done a step took too long")
	r.start("other", state(`<log label="fine"/>`))
	r.says("fine")
}

// Sessions that invoke themselves come to an end, on either clock.
func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	_, base := write(t, map[string]string{"self.scxml": string(document(`<state id="s"><invoke src="self.scxml"/>
	  <transition event="error.communication"><log label="enough" expr="_event.data.reason"/></transition></state>`))})
	r := run(t, scxmlenv.LiveConfig{
		Config: scxmlenv.Config{Base: base, MaxSessions: 5}, Access: scxmlenv.Access{Load: []string{base}},
	})
	r.start("first", invoking("self.scxml"))
	r.says("enough there are 5 sessions already")
	enough := 0
	env := scxmlenv.New(scxmlenv.Config{
		Load: func(string) ([]byte, error) { return os.ReadFile(strings.TrimPrefix(base, "file://") + "self.scxml") },
		Observe: func(_ *scxmlenv.Session, step scxml.Macrostep) {
			for _, e := range step.Effects {
				if e.Kind() == "log" {
					enough++
				}
			}
		},
	})
	if _, err := env.Start(compile(string(document(invoking("self.scxml")))), scxml.Input{}); err != nil {
		t.Fatal(err)
	}
	if n := len(env.Sessions()); n != 1000 || enough != 1 {
		t.Errorf("%d sessions, %d were told that it is enough; want 1000 and 1", n, enough)
	}
}

// Two sessions that never stop talking hold up neither timers nor others.
func TestLiveIsFair(t *testing.T) {
	t.Parallel()
	r := run(t, scxmlenv.LiveConfig{})
	pingPong := func(other string) string {
		return `<state id="s"><onentry><send event="late" delay="10ms"/></onentry>
		  <transition event="ping"><send target="#_scxml_` + other + `" event="ping"/></transition>
		  <transition event="late"><log label="late"/></transition></state>`
	}
	r.start("a", pingPong("b"))
	r.start("b", pingPong("a"))
	if got := r.post(r.Address("a"), "application/x-www-form-urlencoded", "_scxmleventname=ping"); got != 200 {
		t.Errorf("status %d", got)
	}
	r.says("late")
	r.says("late")
	if got := r.post(r.Address("a"), "application/x-www-form-urlencoded", "_scxmleventname=other"); got != 200 {
		t.Errorf("status %d", got)
	}
}

// Settle waits for requests that are under way, and for what follows from them, but
// for no delay.
func TestLiveSettles(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-answer
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(server.Close)
	r := run(t, scxmlenv.LiveConfig{Access: scxmlenv.Access{Send: []string{server.URL}}})
	r.start("s", state(`<send event="never" delay="3600s"/><send type="basichttp" target="`+server.URL+`" event="x"/>`))
	settled := make(chan error, 1)
	go func() { settled <- r.Settle(t.Context()) }()
	select {
	case err := <-settled:
		t.Errorf("it settled before the answer: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(answer)
	if err := <-settled; err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-r.logs:
		if !strings.Contains(got, "status 418") {
			t.Errorf("the chart says %q", got)
		}
	default:
		t.Error("it settled before the error had arrived")
	}
}

func TestLiveEnds(t *testing.T) {
	t.Parallel()
	r := run(t, scxmlenv.LiveConfig{})
	r.start("s", state(""))
	if err := r.stop(); err != nil {
		t.Errorf("run: %v", err)
	}
	if err := r.Do(t.Context(), func(*scxmlenv.Env) error { return nil }); !errors.Is(err, scxmlenv.ErrEnded) {
		t.Errorf("do: %v, want ErrEnded", err)
	}
	if _, err := http.Post(r.Address("s"), "text/plain", nil); err == nil {
		t.Error("somebody still listens")
	}
	// A listener that breaks ends Run with an error.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	live, err := scxmlenv.NewLive(scxmlenv.LiveConfig{Listener: listener})
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	if err := live.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "serve http://") {
		t.Errorf("run: %v, want the error of the listener", err)
	}
}
