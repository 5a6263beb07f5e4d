// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/chartroom/chartroom/e2e/internal/rig"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// Exit codes of the command line, as its documentation has them.
const (
	exitError    = 1
	exitUsage    = 2
	exitNotFound = 3
	exitRefused  = 4
)

// post sends JSON to the gateway's REST side and returns the status and the body.
func post(t *testing.T, f *rig.Fleet, path string, body any) (int, string) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+f.Address+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("POST %s: %v", path, err)
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(said)
}

// refusal returns the typed detail of an error.
func refusal(t *testing.T, err error) *fleetv1.Refusal {
	t.Helper()
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*fleetv1.Refusal); ok {
			return r
		}
	}
	t.Fatalf("no refusal in %v", err)
	return nil
}

func TestHostileChartsAreRefusedWithTheirPosition(t *testing.T) {
	f := rig.StartCentre(t, "pebble:"+t.TempDir())
	scxml := func(inner string) string {
		return `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">` + inner + `</scxml>`
	}
	for _, test := range []struct {
		name, document string
		positioned     bool
	}{
		{"not XML", "state s1 { }", true},
		{"cut off", `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><state id="a">`, true},
		{"DOCTYPE", `<!DOCTYPE scxml [<!ENTITY a "aaaaaaaaaa">]>` + scxml(`<state id="a"/>`), true},
		{"deep nesting", scxml(strings.Repeat("<state>", 10_000) + strings.Repeat("</state>", 10_000)), true},
		{"ten megabytes", scxml(`<state id="a"/><!--` + strings.Repeat("x", 10<<20) + `-->`), false},
		{"an unknown target", scxml("\n" + `<state id="a"><transition event="e" target="nowhere"/></state>`), true},
		{"two states of one id", scxml(`<state id="a"/>` + "\n" + `<state id="a"/>`), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := f.API.PushChart(t.Context(), &fleetv1.PushChartRequest{Name: "hostile", Document: test.document})
			if code := status.Code(err); code != codes.InvalidArgument && !(code == codes.ResourceExhausted && !test.positioned) {
				t.Fatalf("gRPC: %v", err)
			}
			if test.positioned {
				if r := refusal(t, err); r.GetReason() != fleetv1.Reason_REASON_CHART_INVALID || r.GetLine() == 0 || r.GetColumn() == 0 {
					t.Errorf("refusal %v", r)
				}
			}
			if code, said := post(t, f, "/v1/charts", map[string]string{"name": "hostile", "document": test.document}); code != 400 && code != 413 && code != 429 {
				t.Errorf("REST: status %d, %s", code, said)
			}
			file := filepath.Join(t.TempDir(), "hostile.scxml")
			if err := os.WriteFile(file, []byte(test.document), 0o600); err != nil {
				t.Fatal(err)
			}
			_, said, exit := rig.Run(t, nil, "chartroom", "--server", f.Address, "chart", "push", file)
			if exit != exitUsage && exit != exitError {
				t.Errorf("CLI: exit code %d, %s", exit, said)
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

func TestRefusalsNameTheReason(t *testing.T) {
	f := rig.StartFleet(t, "pebble:"+t.TempDir())
	app := f.CreateApp(t, "refusals", "chartroom.breaker.queue", "3")

	intent := func(event string) error {
		_, err := f.API.SendEvent(t.Context(), &fleetv1.SendEventRequest{InstanceId: app.ID, Event: event})
		return err
	}
	check := func(t *testing.T, err error, code codes.Code, reason fleetv1.Reason) *fleetv1.Refusal {
		t.Helper()
		if status.Code(err) != code {
			t.Fatalf("got %v, want code %v", err, code)
		}
		r := refusal(t, err)
		if r.GetReason() != reason {
			t.Errorf("got reason %v, want %v", r.GetReason(), reason)
		}
		return r
	}
	cli := func(t *testing.T, want int, arguments ...string) {
		t.Helper()
		if _, said, exit := rig.Run(t, nil, "chartroom", append([]string{"--server", f.Address}, arguments...)...); exit != want {
			t.Errorf("chartroom %s: exit code %d, want %d: %s", strings.Join(arguments, " "), exit, want, said)
		}
	}

	t.Run("unknown instance", func(t *testing.T) {
		_, err := f.Instance(t, "nobody@nowhere")
		check(t, err, codes.NotFound, fleetv1.Reason_REASON_INSTANCE_UNKNOWN)
		if code, said := post(t, f, "/v1/instances/nobody@nowhere:send", map[string]string{"event": "hello"}); code != 404 {
			t.Errorf("REST: status %d, %s", code, said)
		}
		cli(t, exitNotFound, "describe", "nobody@nowhere")
	})
	t.Run("oversized event", func(t *testing.T) {
		_, err := f.API.SendEvent(t.Context(), oversized(app.ID))
		if code := status.Code(err); code != codes.ResourceExhausted && code != codes.InvalidArgument {
			t.Fatalf("got %v", err)
		}
		if r := refusal(t, err); r.GetReason() != fleetv1.Reason_REASON_TOO_LARGE {
			t.Errorf("refusal %v", r)
		}
		large := map[string]string{"event": "hello", "data": strings.Repeat("x", 512<<10)}
		if code, said := post(t, f, "/v1/instances/"+app.ID+":send", large); code != 413 || !strings.Contains(said, "TOO_LARGE") {
			t.Errorf("REST: status %d, %s", code, said)
		}
	})
	t.Run("queue full", func(t *testing.T) {
		if err := intent("system.pause"); err != nil {
			t.Fatal(err)
		}
		f.InState(t, app.ID, "paused", 10*time.Second)
		var err error
		for range 10 {
			if err = intent("hello"); err != nil {
				break
			}
		}
		check(t, err, codes.ResourceExhausted, fleetv1.Reason_REASON_QUEUE_FULL)
		if err := intent("system.unpause"); err != nil {
			t.Fatal(err)
		}
		f.InState(t, app.ID, "running", 10*time.Second)
		app.Drained(t, 20*time.Second)
	})
	t.Run("stop when stopped", func(t *testing.T) {
		if err := intent("system.stop"); err != nil {
			t.Fatal(err)
		}
		f.InState(t, app.ID, "user_requested", 20*time.Second)
		r := check(t, intent("system.stop"), codes.FailedPrecondition, fleetv1.Reason_REASON_STATE_REFUSES)
		if !slices.Contains(r.GetAllowedIntents(), "system.start") || slices.Contains(r.GetAllowedIntents(), "system.stop") {
			t.Errorf("allowed intents %v", r.GetAllowedIntents())
		}
		if code, said := post(t, f, "/v1/instances/"+app.ID+":send", map[string]string{"event": "system.stop"}); code != 400 && code != 409 && code != 412 {
			t.Errorf("REST: status %d, %s", code, said)
		}
		cli(t, exitRefused, "stop", app.ID)
	})
	t.Run("event while stopped", func(t *testing.T) {
		check(t, intent("hello"), codes.FailedPrecondition, fleetv1.Reason_REASON_NOT_ADMITTED)
	})
	t.Run("event while destroyed", func(t *testing.T) {
		if err := intent("system.remove"); err != nil {
			t.Fatal(err)
		}
		rig.Eventually(t, 20*time.Second, "the event is refused", func() error {
			err := intent("hello")
			if code := status.Code(err); code != codes.FailedPrecondition && code != codes.NotFound {
				return err
			}
			return nil
		})
	})
}

// oversized is an event of half a megabyte, twice the limit.
func oversized(id string) *fleetv1.SendEventRequest {
	return &fleetv1.SendEventRequest{InstanceId: id, Event: "hello", Data: structpb.NewStringValue(strings.Repeat("x", 512<<10))}
}
