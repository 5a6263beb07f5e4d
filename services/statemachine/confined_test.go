// SPDX-License-Identifier: AGPL-3.0-or-later

package statemachine_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chartroom/chartroom/internal/chartwork"
	"github.com/chartroom/chartroom/internal/sandbox"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
)

// TestMain lets the test program be the process that pushed charts run in.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == sandbox.Command {
		fmt.Fprintln(os.Stderr, sandbox.Serve(os.Stdin, os.Stdout, (&chartwork.Host{}).Handle))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func confinedRig(t *testing.T) *rig {
	t.Helper()
	pool := sandbox.NewPool(2, sandbox.Config{Timeout: 2 * time.Second, Memory: 256 << 20})
	r := newRigIn(t, pool)
	t.Cleanup(pool.Close)
	return r
}

// TestFreeInstancesConfined is TestFreeInstances with a chart that calls
// functions: its sessions are stepped in the sandbox, and nobody can tell.
func TestFreeInstancesConfined(t *testing.T) {
	t.Parallel()
	freeInstances(t, confinedRig(t))
}

const greedy = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
  <datamodel><data id="x" expr="1"/></datamodel>
  <state id="a">
    <transition event="loop"><script>for (;;);</script></transition>
    <transition event="memory"><assign location="x" expr="'x'['rep' + 'eat'](Math.pow(2, 40)).length"/></transition>
    <transition event="regex"><assign location="x" expr="/^(?=(a+)+b)/.test('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')"/></transition>
    <transition event="array"><script>x = Array.from({length: 4294967295})</script></transition>
    <transition event="fine"><assign location="x" expr="Math.pow(x + 1, 1)"/></transition>
    <transition event="arm"><send event="loop" delay="10ms"/></transition>
    <transition event="trap" target="b"/>
  </state>
  <state id="b"><transition event="*" cond="(function() { for (;;); })()"/></state>
</scxml>`

// TestGreedyCharts sends events that want all time or all memory. Each costs its
// own instance the event; the process and the instance beside it go on.
func TestGreedyCharts(t *testing.T) {
	t.Parallel()
	r := confinedRig(t)
	if err := r.push("greedy", greedy); err != nil {
		t.Fatal(err)
	}
	if err := r.push("lamp", `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><datamodel><data id="n" expr="0"/></datamodel>
		<state id="on"><transition event="press"><assign location="n" expr="n + 1"/></transition></state></scxml>`); err != nil {
		t.Fatal(err)
	}
	for id, chart := range map[string]string{"bad": "greedy", "worse": "greedy", "armed": "greedy", "lamp": "lamp"} {
		if _, err := r.create(&fleetv1.CreateInstanceRequest{Name: id, Chart: chart}); err != nil {
			t.Fatal(err)
		}
	}
	pressed := 0
	press := func() {
		t.Helper()
		pressed++
		if _, err := r.send("lamp", "press", "", nil); err != nil {
			t.Fatal(err)
		}
		if got, want := r.view("lamp").GetDataJson(), fmt.Sprintf(`"n":%d`, pressed); !strings.Contains(got, want) {
			t.Fatalf("the instance beside it has %s, want %s", got, want)
		}
	}
	for _, sent := range [][2]string{{"bad", "loop"}, {"bad", "memory"}, {"worse", "regex"}, {"worse", "array"}, {"worse", "trap"}} {
		id, event := sent[0], sent[1]
		if _, err := r.send(id, event, "", nil); err != nil {
			t.Fatalf("%s: %v", event, err)
		}
		if v := r.view(id); v.GetDataJson() != `{"x":1}` || v.GetState() != "a" {
			t.Errorf("after %s: in %s with %s, want a and x 1", event, v.GetState(), v.GetDataJson())
		}
		press()
	}
	if _, err := r.send("bad", "fine", "", nil); err != nil || !strings.Contains(r.view("bad").GetDataJson(), `"x":2`) {
		t.Errorf("the session does not go on: %v, %s", err, r.view("bad").GetDataJson())
	}
	r.stop()
	r.start()
	for _, id := range []string{"bad", "lamp", "armed"} {
		r.eventually("the shard of "+id+" is owned", func() bool {
			_, err := r.send(id, "nothing", "", nil)
			return err == nil
		})
	}
	if _, err := r.send("bad", "fine", "", nil); err != nil || !strings.Contains(r.view("bad").GetDataJson(), `"x":3`) {
		t.Errorf("the session was not restored: %v, %s", err, r.view("bad").GetDataJson())
	}
	if _, err := r.send("armed", "arm", "", nil); err != nil {
		t.Fatal(err)
	}
	r.eventually("the delayed send was tried and dropped", func() bool { return len(r.view("armed").GetTimers()) == 0 })
	press()
}

// TestSuspended sends an event that does not end until it is refused. What that
// costs others is bounded; it is told, survives a restart, and can be removed.
func TestSuspended(t *testing.T) {
	t.Parallel()
	r := confinedRig(t)
	if err := r.push("greedy", greedy); err != nil {
		t.Fatal(err)
	}
	if _, err := r.create(&fleetv1.CreateInstanceRequest{Name: "bad", Chart: "greedy"}); err != nil {
		t.Fatal(err)
	}
	begin, took := time.Now(), 0
	for ; took < 10; took++ {
		if _, err := r.send("bad", "loop", "", nil); err != nil {
			break
		}
	}
	t.Logf("%d events of no end took %s", took, time.Since(begin).Round(time.Millisecond))
	if took != 4 {
		t.Errorf("%d such events were taken, want 4", took)
	}
	refused := func() {
		t.Helper()
		_, err := r.send("bad", "fine", "", nil)
		if d := reason(t, err); d.GetReason() != fleetv1.Reason_REASON_NOT_ADMITTED || d.GetRetryAfter().AsDuration() < 50*time.Minute {
			t.Errorf("an event for it: %v, want NOT_ADMITTED for an hour", err)
		}
		f := r.view("bad").GetFindings()
		if len(f) != 1 || f[0].GetCode() != "chart.suspended" || f[0].GetSeverity() != fleetv1.Severity_SEVERITY_ERROR {
			t.Errorf("findings %v, want chart.suspended", f)
		}
	}
	refused()
	r.stop()
	r.start()
	refused()
	if _, err := r.send("bad", "system.remove", "", nil); err != nil {
		t.Errorf("remove it: %v", err)
	}
}

// TestDeepDocuments pushes documents whose reader needs much stack. Whether they
// are refused or not, the process goes on; wrong ones get their position.
func TestDeepDocuments(t *testing.T) {
	t.Parallel()
	r := confinedRig(t)
	for name, cond := range map[string]string{
		"longer":   strings.Repeat("!", 900_000) + "1",
		"operator": strings.Repeat("!", 60_000) + "1",
		"brackets": strings.Repeat("(", 30_000) + "1" + strings.Repeat(")", 30_000),
		"arrays":   strings.Repeat("[", 60_000),
		"arrows":   strings.Repeat("a=>", 20_000) + "1",
	} {
		err := r.push("deep-"+name, `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><state id="a"><transition event="go" cond="`+
			strings.ReplaceAll(cond, ">", "&gt;")+`"/></state></scxml>`)
		if err != nil && (status.Code(err) != codes.InvalidArgument || reason(t, err).GetReason() != fleetv1.Reason_REASON_CHART_INVALID) {
			t.Errorf("push %s: %v, want nothing or CHART_INVALID", name, err)
		}
	}
	err := r.push("wrong", `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><state id="a"><transition event="x" target="nowhere"/></state></scxml>`)
	if status.Code(err) != codes.InvalidArgument || reason(t, err).GetLine() != 1 {
		t.Errorf("push of a wrong one: %v, want the position", err)
	}
}

// TestHostileDocuments pushes documents that cost too much before any event: by
// their parser, by their scripts, by the states they begin in. Each is refused with
// the place that did it.
func TestHostileDocuments(t *testing.T) {
	t.Parallel()
	r := confinedRig(t)
	for _, test := range []struct {
		name, body string
		line       uint32
		want       string
	}{
		// The parser reads what is in brackets twice, on every level.
		{"arrows", "\n<state id='a'>\n<transition event='go' cond='" + strings.Repeat("(a=", 60) + "1" + strings.Repeat(")=&gt;1", 60) + "'/></state>", 3, "longer than"},
		{"loop", "\n\n<script>for (;;);</script><state id='a'/>", 3, "longer than"},
		{"memory", "\n<script>'x'['rep' + 'eat'](Math.pow(2, 40))</script><state id='a'/>", 2, "used up its memory"},
		{"entry", "<state id='a'><onentry><script>for (;;);</script></onentry></state>", 1, "longer than"},
	} {
		err := r.push(test.name, `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">`+test.body+`</scxml>`)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), test.want) {
			t.Errorf("push %s: %v, want that it %s", test.name, err, test.want)
		} else if d := reason(t, err); d.GetReason() != fleetv1.Reason_REASON_CHART_INVALID || d.GetLine() != test.line {
			t.Errorf("push %s: %v, want CHART_INVALID in line %d", test.name, d, test.line)
		}
	}
	if err := r.push("fine", `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><state id="a"/></scxml>`); err != nil {
		t.Errorf("after them: %v", err)
	}
}

// TestHostileStoredChart has a document in the store that this version would have
// refused. Nothing of it is run to load it; only its own instance cannot begin.
func TestHostileStoredChart(t *testing.T) {
	t.Parallel()
	r := confinedRig(t)
	document := []byte(`<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><script>for (;;);</script><state id="a"/></scxml>`)
	sum := sha256.Sum256(document)
	store := snapshotv1.NewSnapshotServiceClient(r.conn)
	if _, err := store.PutChart(t.Context(), &snapshotv1.PutChartRequest{Chart: &fleetv1.Chart{Name: "old", Digest: hex.EncodeToString(sum[:]), Document: string(document)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.create(&fleetv1.CreateInstanceRequest{Name: "old", Chart: "old"}); err == nil || !strings.Contains(err.Error(), "it took ") {
		// More than 250ms of processor time, or longer than 2s where that is not to be had.
		t.Errorf("an instance of it: %v, want that it takes longer than it may", err)
	}
	if _, err := r.create(&fleetv1.CreateInstanceRequest{Name: "fine", Chart: "order"}); err != nil {
		t.Errorf("after it: %v", err)
	}
}
