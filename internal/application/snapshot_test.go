// SPDX-License-Identifier: AGPL-3.0-or-later

package application_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chartroom/chartroom/internal/application"
)

func TestReadSnapshot(t *testing.T) {
	t.Parallel()
	r := start(t, application.Config{Chart: compile(t, story)})
	r.restore("R1", nil, 0)
	r.event("R1", 1, "add")
	before := time.Now()
	body, err := json.Marshal(find(r.event("R1", 2, "slow"), "snapshot")["snapshot"])
	if err != nil {
		t.Fatal(err)
	}
	got, err := application.ReadSnapshot(body)
	if err != nil {
		t.Fatal(err)
	}
	session := got.Session
	if diff := cmp.Diff(application.Configuration{"a"}, session.Configuration); diff != "" || got.Ordinal != 1 || got.Chart == "" {
		t.Errorf("got %+v; configuration (-want +got):\n%s", got, diff)
	}
	if n := string(session.Data["n"]); n != "1" {
		t.Errorf("n = %s, want 1", n)
	}
	if len(session.Pending) != 1 || session.Pending[0].Event != "waited" || session.Pending[0].Due.Sub(session.Time) != time.Minute {
		t.Errorf("at %v there waits %v, want the event of a minute later", session.Time, session.Pending)
	}
	if session.Time.Before(before.Add(-time.Millisecond)) || session.Time.After(time.Now()) {
		t.Errorf("the last step was at %v, it began at %v", session.Time, before)
	}
	for body, want := range map[string]string{
		`7`: "read snapshot", `{"total": 7}`: "session", `{"chart": "x", "session": "e30="}`: "version is 0",
	} {
		if _, err := application.ReadSnapshot([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error that has %q", body, err, want)
		}
	}
}
