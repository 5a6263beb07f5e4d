// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/chartroom/chartroom/e2e/internal/rig"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// Exit codes of the command line, as its documentation has them.
const (
	exitUsage    = 2
	exitNotFound = 3
	exitRefused  = 4
	exitConflict = 7
)

// A refusal is how something that is not done is told over gRPC (code and reason),
// REST (status and the same reason as JSON) and by the command line (exit code).
type refusal struct {
	code   codes.Code
	reason fleetv1.Reason
	status int
	exit   int
}

var (
	instanceUnknown = refusal{codes.NotFound, fleetv1.Reason_REASON_INSTANCE_UNKNOWN, http.StatusNotFound, exitNotFound}
	argumentInvalid = refusal{codes.InvalidArgument, fleetv1.Reason_REASON_ARGUMENT_INVALID, http.StatusBadRequest, exitUsage}
	chartInvalid    = refusal{codes.InvalidArgument, fleetv1.Reason_REASON_CHART_INVALID, http.StatusBadRequest, exitUsage}
	tooLarge        = refusal{codes.ResourceExhausted, fleetv1.Reason_REASON_TOO_LARGE, http.StatusRequestEntityTooLarge, exitUsage}
	queueFull       = refusal{codes.ResourceExhausted, fleetv1.Reason_REASON_QUEUE_FULL, http.StatusTooManyRequests, exitRefused}
	stateRefuses    = refusal{codes.FailedPrecondition, fleetv1.Reason_REASON_STATE_REFUSES, http.StatusConflict, exitRefused}
	notAdmitted     = refusal{codes.FailedPrecondition, fleetv1.Reason_REASON_NOT_ADMITTED, http.StatusConflict, exitRefused}
	requestIDReused = refusal{codes.AlreadyExists, fleetv1.Reason_REASON_REQUEST_ID_REUSED, http.StatusConflict, exitConflict}
)

// A request is one thing to ask for, as each of the three ways puts it.
type request struct {
	rpc     proto.Message // a SendEventRequest or a PushChartRequest
	command []string      // what follows "chartroom"
	stdin   string
}

// sending is the request to give an event to an instance, with a text as its data
// unless that is empty.
func sending(instance, event, text, requestID string) request {
	r := &fleetv1.SendEventRequest{InstanceId: instance, Event: event, RequestId: requestID, Data: structpb.NewNullValue()}
	stdin := "null"
	if text != "" {
		r.Data, stdin = structpb.NewStringValue(text), strconv.Quote(text)
	}
	return request{r, []string{"send", "--request-id", requestID, instance, event, "-"}, stdin}
}

// pushing is the request to store a chart under the name "hostile".
func pushing(t *testing.T, document string) request {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hostile.scxml")
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	return request{&fleetv1.PushChartRequest{Name: "hostile", Document: document}, []string{"chart", "push", file}, ""}
}

// check asks for it three ways and compares how each is refused. It returns the
// detail, which the other two have told as well.
func (want refusal) check(t *testing.T, f *rig.Fleet, ask request) *fleetv1.Refusal {
	t.Helper()
	var err error
	var path string
	switch r := ask.rpc.(type) {
	case *fleetv1.SendEventRequest:
		_, err = f.API.SendEvent(t.Context(), r)
		path = "/v1/instances/" + r.GetInstanceId() + ":send"
	case *fleetv1.PushChartRequest:
		_, err = f.API.PushChart(t.Context(), r)
		path = "/v1/charts"
	}
	detail := &fleetv1.Refusal{}
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*fleetv1.Refusal); ok {
			detail = r
		}
	}
	if status.Code(err) != want.code || detail.GetReason() != want.reason {
		t.Errorf("gRPC: got %v with %v, want %v with %v", err, detail, want.code, want.reason)
	}

	code, answer := rest(t, f.Address, http.MethodPost, path, ask.rpc)
	var told restError
	if err := json.Unmarshal(answer, &told); err != nil {
		t.Errorf("REST: the answer is %q: %v", answer, err)
	}
	if code != want.status || "REASON_"+told.Reason != want.reason.String() {
		t.Errorf("REST: got status %d with %+v, want %d with %v", code, told, want.status, want.reason)
	}
	if told.Line != detail.GetLine() || told.Column != detail.GetColumn() || !slices.Equal(told.AllowedIntents, detail.GetAllowedIntents()) {
		t.Errorf("REST tells %+v, gRPC %v", told, detail)
	}

	cmd := exec.CommandContext(t.Context(), rig.Binary(t, "chartroom"), append([]string{"--server", f.Address}, ask.command...)...)
	cmd.Stdin = strings.NewReader(ask.stdin)
	said, _ := cmd.CombinedOutput()
	if exit := cmd.ProcessState.ExitCode(); exit != want.exit || !strings.Contains(string(said), status.Convert(err).Message()) {
		t.Errorf("chartroom %s: exit code %d, want %d; it says %q, gRPC %v", strings.Join(ask.command, " "), exit, want.exit, said, err)
	}
	return detail
}

// restError is an error as docs/gateway.md shows it.
type restError struct {
	Code, Reason, Message string
	AllowedIntents        []string
	Line, Column          uint32
}

func TestHostileChartsAreRefusedWithTheirPosition(t *testing.T) {
	f := rig.StartCentre(t, "pebble:"+t.TempDir())
	scxml := func(inner string) string {
		return `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">` + inner + `</scxml>`
	}
	for _, test := range []struct {
		name, document string
		want           refusal
		line           uint32
	}{
		{"not XML", "state s1 { }", chartInvalid, 1},
		{"cut off", "<scxml xmlns=\"http://www.w3.org/2005/07/scxml\" version=\"1.0\">\n<state id=\"a\">", chartInvalid, 2},
		{"DOCTYPE", "\n" + `<!DOCTYPE scxml [<!ENTITY a "aaaaaaaaaa">]>` + scxml(`<state id="a"/>`), chartInvalid, 2},
		{"deep nesting", scxml("\n" + strings.Repeat("<state>", 10_000) + strings.Repeat("</state>", 10_000)), chartInvalid, 2},
		{"ten megabytes", scxml(`<state id="a"/><!--` + strings.Repeat("x", 10<<20) + `-->`), tooLarge, 1},
		{"an unknown target", scxml("\n" + `<state id="a"><transition event="e" target="nowhere"/></state>`), chartInvalid, 2},
		{"two states of one id", scxml(`<state id="a"/>` + "\n" + `<state id="a"/>`), chartInvalid, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			if told := test.want.check(t, f, pushing(t, test.document)); told.GetLine() != test.line || (told.GetColumn() == 0) != (test.line == 0) {
				t.Errorf("told line %d, column %d; want line %d", told.GetLine(), told.GetColumn(), test.line)
			}
		})
	}
	charts, err := f.API.ListCharts(t.Context(), &fleetv1.ListChartsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range charts.GetCharts() {
		if c.GetName() == "hostile" {
			t.Errorf("a refused chart was stored: %v", c)
		}
	}
}

// The rows go through the life of one container, in order.
func TestRefusalsNameTheReason(t *testing.T) {
	f := rig.StartFleet(t, "pebble:"+t.TempDir())
	app := f.CreateApp(t, "refusals", "chartroom.breaker.queue", "3")
	// intent has the operator ask for something, and waits for its effect.
	intent := func(event, state string) func(*testing.T) {
		return func(t *testing.T) {
			f.Send(t, app.ID, event, nil, event, 10*time.Second)
			f.InState(t, app.ID, state, 20*time.Second)
		}
	}
	unchanged := func(*testing.T) {}
	for _, test := range []struct {
		name    string
		before  func(*testing.T)
		ask     request
		want    refusal
		allowed string // an intent that the refusal offers
	}{
		{"unknown instance", unchanged, sending("nobody@nowhere", "hello", "", ""), instanceUnknown, ""},
		{"an observation of a client's own", unchanged, sending(app.ID, "docker.die", "", ""), argumentInvalid, ""},
		{"oversized event", unchanged, sending(app.ID, "hello", strings.Repeat("x", 512<<10), ""), tooLarge, ""},
		{"intent that the state refuses", unchanged, sending(app.ID, "system.unpause", "", ""), stateRefuses, "system.pause"},
		{"queue full", func(t *testing.T) {
			intent("system.pause", "paused")(t)
			for n := range 3 {
				f.Send(t, app.ID, "hello", map[string]any{"number": n + 1}, fmt.Sprintf("queued-%d", n), 10*time.Second)
			}
		}, sending(app.ID, "hello", "", ""), queueFull, ""},
		{"request id used for something else", func(t *testing.T) {
			intent("system.unpause", "running")(t)
			app.Drained(t, 20*time.Second)
		}, sending(app.ID, "goodbye", "", "queued-0"), requestIDReused, ""},
		{"stop when stopped", intent("system.stop", "user_requested"), sending(app.ID, "system.stop", "", ""), stateRefuses, "system.start"},
		{"event while stopped", unchanged, sending(app.ID, "hello", "", ""), notAdmitted, ""},
		{"event while destroyed", intent("system.remove", "destroyed"), sending(app.ID, "hello", "", ""), notAdmitted, ""},
		{"start when destroyed", unchanged, sending(app.ID, "system.start", "", ""), stateRefuses, ""},
	} {
		if !t.Run(test.name, func(t *testing.T) {
			test.before(t)
			told := test.want.check(t, f, test.ask)
			asked, _ := test.ask.rpc.(*fleetv1.SendEventRequest)
			if test.allowed != "" && !slices.Contains(told.GetAllowedIntents(), test.allowed) || slices.Contains(told.GetAllowedIntents(), asked.GetEvent()) {
				t.Errorf("allowed intents %v, asked for %s", told.GetAllowedIntents(), asked.GetEvent())
			}
		}) {
			return // the rows after it start from where it should have ended
		}
	}
}
