// SPDX-License-Identifier: AGPL-3.0-or-later

package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/chartroom/chartroom/internal/cli"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	state := &fleetv1.Refusal{
		Reason: fleetv1.Reason_REASON_STATE_REFUSES, Configuration: []string{"stopped", "crashed", "backoff", "breaker", "breaker.open"},
		AllowedIntents: []string{"system.remove", "system.start"}, RetryAfter: durationpb.New(1500 * time.Millisecond),
	}
	for _, test := range []struct {
		name   string
		server *fleet
		args   []string
		want   cli.Code
		says   []string // each in stderr
	}{
		{"ok", &fleet{}, []string{"stop", "web"}, cli.OK, nil},
		{"error", &fleet{refuse: status.Error(codes.Internal, "it broke")}, []string{"stop", "web"}, cli.Failed, []string{"stop web: it broke\n"}},
		{"no such command", nil, []string{"frobnicate"}, cli.Usage, []string{"frobnicate", "chartroom --help"}},
		{"nearly a command", nil, []string{"sto"}, cli.Usage, []string{"Was it meant to be: stop"}},
		{"no such subcommand", nil, []string{"get", "frobs"}, cli.Usage, []string{"get frobs", "chartroom get --help"}},
		{"several versions", &fleet{}, []string{"chart", "get", "order", "a"}, cli.Usage, []string{"give more of the digest"}},
		{"no such shell", nil, []string{"completion", "tcsh"}, cli.Usage, []string{"completion tcsh"}},
		{"no such signal", nil, []string{"kill", "-s", "FROB", "web"}, cli.Usage, []string{"TERM"}},
		{"no address", nil, []string{"get", "hosts", "--server", "nonsense"}, cli.Usage, []string{"HOST:PORT"}},
		{"ids in a form", nil, []string{"get", "instances", "-q", "-o", "json"}, cli.Usage, []string{"--quiet"}},
		{"nothing is like that", &fleet{}, []string{"get", "instances", "--state", "frob"}, cli.OK, []string{"No instance is like that"}},
		{"a folder to lint", nil, []string{"chart", "lint", "."}, cli.Usage, []string{"*.scxml"}},
		{"a picture that is no SVG", nil, []string{"chart", "render", "../../charts/order.scxml", "-o", "order.png"}, cli.Usage, []string{"only SVG is drawn", "Draw order.svg"}},
		{"a wait of no time", &fleet{}, []string{"wait", "web", "--timeout", "-1s"}, cli.Usage, []string{"--timeout -1s"}},
		{"a form that there is not", nil, []string{"logs", "web", "-o", "json"}, cli.Usage, []string{"--output does not go with it"}},
		{"no such flag", nil, []string{"stop", "--frob", "web"}, cli.Usage, []string{"--frob", "chartroom stop --help"}},
		{"arguments missing", nil, []string{"stop"}, cli.Usage, []string{"chartroom stop INSTANCE"}},
		{"no such output", nil, []string{"get", "hosts", "-o", "xml"}, cli.Usage, []string{"json"}},
		{"data is no JSON", nil, []string{"send", "web", "add", "{"}, cli.Usage, []string{"not JSON"}},
		{"no such engine", nil, []string{"up", "--engine", "podman"}, cli.Usage, []string{"fake"}},
		{"no such fault", nil, []string{"demo", "--fault", "slow"}, cli.Usage, []string{"drop, twice or stale"}},
		{"not found", &fleet{}, []string{"describe", "web"}, cli.NotFound, []string{"there is no instance web", "chartroom get instances"}},
		{"no such snapshot", &fleet{}, []string{"snapshot", "get", "web", "9"}, cli.NotFound, []string{"no such snapshot", "chartroom snapshot ls web\n"}},
		{"no intent now", &fleet{refuse: refusal(codes.FailedPrecondition, "its stop is under way", &fleetv1.Refusal{Reason: fleetv1.Reason_REASON_STATE_REFUSES})}, []string{"start", "web"}, cli.Refused, []string{"Follow it: chartroom watch web\n"}},
		{"a file for an image", &fleet{}, []string{"run", "/etc/passwd"}, cli.Usage, []string{"/etc/passwd is a path, and names no image", "ends in .scxml"}},
		{"a folder to create from", &fleet{}, []string{"create", "./web"}, cli.Usage, []string{"./web is a path"}},
		{"no such file", &fleet{}, []string{"run", "nowhere.scxml"}, cli.NotFound, []string{"nowhere.scxml"}},
		{
			"refused by the state", &fleet{refuse: refusal(codes.FailedPrecondition, "it has stopped", state)},
			[]string{"stop", "web"}, cli.Refused,
			[]string{"stop web: it has stopped", "Allowed now: rm, start", "Try again in 1.5s"},
		},
		{
			"queue full", &fleet{refuse: refusal(codes.ResourceExhausted, "1000 events wait", &fleetv1.Refusal{Reason: fleetv1.Reason_REASON_QUEUE_FULL})},
			[]string{"send", "web", "add"}, cli.Refused, []string{"1000 events wait"},
		},
		{
			"too large", &fleet{refuse: refusal(codes.ResourceExhausted, "300 KiB", &fleetv1.Refusal{Reason: fleetv1.Reason_REASON_TOO_LARGE})},
			[]string{"send", "web", "add"}, cli.Usage, []string{"300 KiB"},
		},
		{"timed out", &fleet{refuse: status.Error(codes.DeadlineExceeded, "still running")}, []string{"wait", "web"}, cli.TimedOut, []string{"wait for the exit of web: still running"}},
		{
			"silent", &fleet{refuse: status.Error(codes.Unavailable, `connection error: desc = "error reading server preface: raw-read tcp 127.0.0.1:1->127.0.0.1:2: use of closed network connection"`)},
			[]string{"stop", "web"}, cli.Unreachable, []string{"stop web: no answer\n", "It takes connections and says nothing"},
		},
		{
			"cut off", &fleet{refuse: status.Error(codes.Unavailable, `closing transport due to: connection error: desc = "error reading from server: EOF", received prior goaway: code: NO_ERROR`)},
			[]string{"wait", "web"}, cli.Unreachable, []string{"wait for the exit of web: the connection broke before there was an answer\n"},
		},
		{"unreachable", nil, []string{"get", "instances"}, cli.Unreachable, []string{"no answer", "chartroom up"}},
		{"health of nothing", nil, []string{"health"}, cli.Unreachable, []string{"no answer"}},
		{"health of what lacks something", &fleet{lacks: "redis"}, []string{"health"}, cli.Unreachable, []string{": not_serving, for want of redis\n"}},
		{
			"agent away", &fleet{refuse: refusal(codes.Unavailable, "the host is away", &fleetv1.Refusal{Reason: fleetv1.Reason_REASON_AGENT_AWAY})},
			[]string{"stop", "web"}, cli.Unreachable, []string{"chartroom get hosts"},
		},
		{
			"conflict", &fleet{refuse: refusal(codes.AlreadyExists, "web exists", &fleetv1.Refusal{Reason: fleetv1.Reason_REASON_INSTANCE_EXISTS})},
			[]string{"create", "--name", "web", "nginx"}, cli.Conflict, []string{"web exists", "chartroom describe web."},
		},
		{"findings", &fleet{}, []string{"doctor"}, cli.Findings, nil},
		{"no certificates", &fleet{}, []string{"get", "hosts", "--tls-dir", "/nowhere"}, cli.Failed, []string{"chartroom init DIR"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := run(t, test.server, "", test.args...)
			if code != int(test.want) {
				t.Errorf("exit code %d, want %d", code, test.want)
			}
			for _, want := range test.says {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr lacks %q:\n%s", want, stderr)
				}
			}
			if strings.Contains(stderr, "rpc error") {
				t.Errorf("stderr has words of gRPC:\n%s", stderr)
			}
		})
	}
}

func TestTheFirstRefusalDecides(t *testing.T) {
	t.Parallel()
	f := &fleet{refuse: refusal(codes.FailedPrecondition, "no", &fleetv1.Refusal{Reason: fleetv1.Reason_REASON_STATE_REFUSES})}
	code, _, stderr := run(t, f, "", "stop", "a", "b")
	if code != int(cli.Refused) || !strings.Contains(stderr, "stop a: no") || !strings.Contains(stderr, "stop b: no") {
		t.Errorf("exit code %d, stderr:\n%s", code, stderr)
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "order.scxml")
	if err := os.WriteFile(file, []byte("<scxml/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string // the request as text
	}{
		{[]string{"stop", "web", "--grace", "3s"}, `instance_id:"web" event:"system.stop" data:{struct_value:{fields:{key:"grace" value:{number_value:3}}}}`},
		{[]string{"kill", "-s", "15", "web"}, `instance_id:"web" event:"system.kill" data:{struct_value:{fields:{key:"signal" value:{number_value:15}}}}`},
		{[]string{"kill", "-s", "SIGTERM", "web"}, `instance_id:"web" event:"system.kill" data:{struct_value:{fields:{key:"signal" value:{number_value:15}}}}`},
		{[]string{"kill", "web"}, `instance_id:"web" event:"system.kill"`},
		{[]string{"rm", "web"}, `instance_id:"web" event:"system.remove"`},
		{[]string{"snapshot", "restore", "web", "#4"}, `instance_id:"web" event:"system.restore" data:{struct_value:{fields:{key:"snapshot" value:{number_value:4}}}}`},
		{[]string{"snapshot", "take", "web"}, `instance_id:"web" event:"system.take_snapshot"`},
		{[]string{"send", "web", "add", "[1]", "--request-id", "r"}, `instance_id:"web" event:"add" data:{list_value:{values:{number_value:1}}} request_id:"r"`},
		{[]string{"send", "web", "add", "--data", "true"}, `instance_id:"web" event:"add" data:{bool_value:true}`},
		{[]string{"send", "web", "add", "-"}, `instance_id:"web" event:"add" data:{string_value:"in"}`},
		{[]string{"create", "--name", "web", "-e", "A=1", "-l", "b=2", "-v", "v:/d", "nginx", "-g", "x"},
			`name:"web" container:{image:"nginx" command:"-g" command:"x" environment:"A=1" labels:{key:"b" value:"2"} mounts:"v:/d"}`},
		{[]string{"create", "--chart", "order", "--id", "42"}, `name:"42" chart:"order"`},
		{[]string{"run", "--name", "web", "nginx"}, `name:"web" container:{image:"nginx"} start:true`},
		{[]string{"run", file, "--id", "42", "--data", `{"a":1}`}, `name:"42" chart:"order" data:{fields:{key:"a" value:{number_value:1}}} start:true`},
		{[]string{"wait", "web", "--state", "running", "--timeout", "2s"}, `instance_id:"web" state:"running" timeout:{seconds:2}`},
		{[]string{"chart", "get", "order", "ab"}, `name:"order" digest:"ab12"`},
		{[]string{"logs", "-f", "--tail", "3", "web"}, `instance_id:"web" follow:true tail:3`},
	} {
		t.Run(strings.Join(test.args[:2], " "), func(t *testing.T) {
			t.Parallel()
			f := &fleet{changes: []*fleetv1.WatchResponse{started("web@h")}}
			code, _, stderr := run(t, f, `"in"`, test.args...)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			// prototext puts a second space in at random.
			if got := strings.ReplaceAll(textOf(f.last), "  ", " "); got != test.want {
				t.Errorf("request\n got %s\nwant %s", got, test.want)
			}
		})
	}
}

// An event that the chart has no transition for is said to have none.
func TestSendSaysWhatTakesNothing(t *testing.T) {
	t.Parallel()
	taken := []*fleetv1.Microstep{{Event: "item", Transitions: []string{"basket on item"}}}
	for _, test := range []struct {
		event string
		log   []*fleetv1.LogEntry
		want  string
	}{
		{"item", []*fleetv1.LogEntry{{Sequence: 3, Event: "item", Microsteps: taken}}, "42: item taken; it is in basket\n"},
		{"nonsense", []*fleetv1.LogEntry{{Sequence: 3, Event: "nonsense", Microsteps: []*fleetv1.Microstep{{Event: "nonsense"}}}},
			"42: no transition for nonsense; it is in basket, and has one for: checkout, item\n"},
		{"nonsense", nil, "42: nonsense taken; it is in basket\n"}, // the log does not tell
	} {
		f := &fleet{instances: someInstances(), log: test.log, sent: &fleetv1.SendEventResponse{
			Outcome: fleetv1.Outcome_OUTCOME_ACCEPTED, LogSequence: 3, Configuration: []string{"basket"},
		}}
		if code, stdout, stderr := run(t, f, "", "send", "42", test.event); code != 0 || stdout != test.want {
			t.Errorf("%s: exit code %d, %q %q, want %q", test.event, code, stdout, stderr, test.want)
		}
	}
}

// An event or an intent that nobody is there to deliver is not said to be on its way.
func TestSendToAHostThatIsAway(t *testing.T) {
	t.Parallel()
	connected, away := &fleetv1.Host{HostId: "h1", Connected: true}, &fleetv1.Host{HostId: "h1"}
	forwarded := &fleetv1.SendEventResponse{Outcome: fleetv1.Outcome_OUTCOME_FORWARDED, Sequence: 7}
	queued := &fleetv1.SendEventResponse{Outcome: fleetv1.Outcome_OUTCOME_QUEUED, Sequence: 8, Position: 1}
	const later = "event 7: accepted, and delivered to web when its host is back: the agent of h1 is not connected\n"
	const waits = "; it waits for its host: the agent of h1 is not connected\n"
	for _, test := range []struct {
		name string
		host *fleetv1.Host
		args string
		sent *fleetv1.SendEventResponse
		want string
	}{
		{"connected", connected, "send web add", forwarded, "event 7: forwarded to web\n"},
		{"away", away, "send web add", forwarded, later},
		{"not heard of", &fleetv1.Host{HostId: "h1", Connected: true, Unknown: true}, "send web add", forwarded, later},
		{"another is away", &fleetv1.Host{HostId: "h2"}, "send web add", forwarded, "event 7: forwarded to web\n"},
		{"connected, the next", connected, "send web add", queued, "event 8: queued at web, 1 before it\n"},
		{"away, the next", away, "send web add", queued, "event 8: queued at web, 1 before it" + waits},
		{"away, an intent", away, "stop web --no-wait", nil, "web: stop accepted" + waits},
		{"a chart by itself", away, "send 42 item", queued, "event 8: queued at 42, 1 before it\n"},
	} {
		f := &fleet{instances: someInstances(), hosts: []*fleetv1.Host{test.host}, sent: test.sent}
		if code, stdout, stderr := run(t, f, "", strings.Fields(test.args)...); code != 0 || stdout != test.want {
			t.Errorf("%s: exit code %d, %q %q, want %q", test.name, code, stdout, stderr, test.want)
		}
	}
}

// Whoever goes back to a snapshot is told which events come again.
func TestRestoreSaysWhatComesAgain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		accepted uint64
		args     []string
		want     string
	}{
		{9, []string{"snapshot", "restore", "web", "#7"}, "restore accepted; the container is started anew from snapshot #7 (contains events up to 7); the 2 events after it, as far as they are kept, are sent to it again"},
		{8, []string{"snapshot", "restore", "web", "7"}, "restore accepted; the container is started anew from snapshot #7 (contains events up to 7); the event after it, if it is kept, is sent to it again"},
		{7, []string{"start", "--snapshot", "7", "web"}, "start accepted; the container is started anew from snapshot #7 (contains events up to 7); no event came after it"},
		{9, []string{"start", "web"}, "start accepted"},
		{9, []string{"snapshot", "restore", "web", "3"}, "restore accepted"}, // a snapshot that is gone by now
		{9, []string{"send", "web", "add", `{"snapshot":7}`}, "event 7: queued at web, 2 before it"},
	} {
		f := &fleet{instances: someInstances()}
		f.instances[0].Queue.AcceptedSequence = test.accepted
		want := test.want + "\n"
		if test.args[0] != "send" {
			want = "web: " + want
		}
		if code, stdout, stderr := run(t, f, "", test.args...); code != 0 || stdout != want {
			t.Errorf("%v: exit code %d %s\n got %q\nwant %q", test.args, code, stderr, stdout, want)
		}
	}
}

func textOf(m proto.Message) string {
	if m == nil {
		return ""
	}
	return m.(interface{ String() string }).String()
}

func someInstances() []*fleetv1.Instance {
	return []*fleetv1.Instance{
		{
			InstanceId: "web@h1", Name: "web", HostId: "h1", ChartName: "container", State: "backoff", Managed: true,
			Configuration: []string{"stopped", "backoff"}, Admission: fleetv1.Admission_ADMISSION_QUEUE,
			AllowedIntents: []string{"system.remove", "system.start"},
			Why:            "Crashed: exit 137, out of memory.\nA second line \x1b[31m.",
			Target:         &fleetv1.Target{Kind: "container", ContainerId: "0123456789abcdef", Image: "web:1"},
			Queue:          &fleetv1.Queue{AcceptedSequence: 9, DeliveredSequence: 7, ContainedSequence: 7, Waiting: 2, Limit: 1000},
			Snapshots: []*fleetv1.ApplicationSnapshot{
				{Number: 7, SizeBytes: 2048, ContainedSequence: 7, Verdict: fleetv1.Verdict_VERDICT_PROVEN, CreateTime: timestamppb.Now()},
			},
			Findings: []*fleetv1.Finding{{Code: "label.unknown", Message: "no label is called chartroom.enabel", Fix: "chartroom.enable=true"}},
		},
		{InstanceId: "db@h1", HostId: "h1", State: "running", Target: &fleetv1.Target{}, Admission: fleetv1.Admission_ADMISSION_FAIL},
		{InstanceId: "42", State: "basket", EnabledEvents: []string{"checkout", "item"}, DataJson: `{"total":4}`},
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	far := &fleetv1.Instance{
		InstanceId: "far@h2", HostId: "h2", Managed: true, State: "running", Why: "Running since noon.",
		Unknown: true, UnknownReason: "the engine of h2 does not answer", LastSeenTime: timestamppb.New(time.Now().Add(-150 * time.Second)),
	}
	bot := &fleetv1.Instance{
		InstanceId: "bot@h1", Name: "bot", HostId: "h1", Managed: true, Admission: fleetv1.Admission_ADMISSION_FAIL,
		Target:    &fleetv1.Target{Channel: "file:/state.json"},
		Snapshots: []*fleetv1.ApplicationSnapshot{{Number: 1, SizeBytes: 9, Verdict: fleetv1.Verdict_VERDICT_CANDIDATE}},
	}
	ended := &fleetv1.Instance{
		InstanceId: "ended@h1", HostId: "h1", Managed: true, State: "completed", Configuration: []string{"lifecycle", "stopped", "completed"},
		Admission: fleetv1.Admission_ADMISSION_FAIL, AllowedIntents: []string{"system.start"}, Name: "ended", DataJson: `{"name":"finished","attempts":0}`,
		Target: &fleetv1.Target{Channel: "socket", Kind: "container", ContainerId: "0123456789abcdef", Image: "web:1"},
	}
	mute := &fleetv1.Instance{
		InstanceId: "mute@h1", HostId: "h1", Managed: true, State: "running", Configuration: []string{"lifecycle", "started", "running", "breaker.open"},
		Admission: fleetv1.Admission_ADMISSION_FAIL, Name: "mute", DataJson: `{"name":"mute"}`,
		Target: &fleetv1.Target{Channel: "socket", Kind: "container", ContainerId: "fedcba9876543210", Image: "web:1"},
	}
	shut := &fleetv1.Instance{InstanceId: "shut", State: "closed", Configuration: []string{"closed"}, Admission: fleetv1.Admission_ADMISSION_FAIL}
	f := &fleet{instances: append(someInstances(), far, bot, ended, mute, shut), hosts: []*fleetv1.Host{{HostId: "h1", Unknown: true, EngineReachable: true}}}
	for _, test := range []struct {
		args []string
		want []string
		not  []string
	}{
		{[]string{"get", "instances"}, []string{"INSTANCE", "web@h1", "2/1000", "#7", "db@h1", "running (observed)", "42", "out of memory. A second line"}, []string{"\x1b", "web:1"}},
		{[]string{"get", "instances", "-o", "wide"}, []string{"web:1", "0123456789ab"}, nil},
		{[]string{"get", "instances", "-o", "json"}, []string{`"instances": [`, `"instanceId": "web@h1"`, `"waiting": 2`}, nil},
		{[]string{"get", "instances", "-o", "yaml"}, []string{"instances:\n  - activity: ", "    admission: ADMISSION_QUEUE\n", "    instanceId: web@h1\n", "      waiting: 2\n"}, nil},
		{[]string{"describe", "web"}, []string{"state        backoff", "allowed      rm, start", "wait in the queue", "#7 proven, contains events up to 7, 2.0 KiB", "mend it with: chartroom.enable=true"}, []string{"\x1b"}},
		{[]string{"get", "instances"}, []string{"running (unknown)", "the engine of h2 does not answer, last seen 2m ago; last known: Running since noon."}, nil},
		{[]string{"describe", "far@h2"}, []string{"running (unknown)", "unknown      the engine of h2 does not answer, last seen 2m ago;"}, []string{"host         h2, last"}},
		{[]string{"describe", "42"}, []string{"takes        checkout, item", `data         {"total":4}`}, nil},
		{[]string{"describe", "db@h1"}, []string{"events       are refused: it is observed only", "allowed      nothing: it is observed only"}, []string{"takes"}},
		{[]string{"describe", "ended@h1"}, []string{"events       are refused: it is not running (completed); chartroom start ended@h1\n", "container 0123456789ab, named finished of web:1,"}, nil},
		{[]string{"describe", "mute@h1"}, []string{"container fedcba987654 of web:1,", "events       are refused: its breaker is open", "allowed      nothing now: "}, nil},
		{[]string{"describe", "shut"}, []string{`events       are refused: the chart refuses them in closed (cr:admit="fail")`, "allowed      nothing: the chart has no transition"}, nil},
		{[]string{"describe", "bot"}, []string{"events       are refused: its channel is file:/state.json, which carries none", "#1 candidate, 9 B"}, []string{"contains events"}},
		{[]string{"get", "instances", "-q"}, []string{"web@h1\ndb@h1\n42\n"}, []string{"INSTANCE", "running"}},
		{[]string{"get", "instances", "--quiet", "bot"}, []string{"bot@h1\n"}, []string{"web"}},
		{[]string{"get", "snapshots", "web"}, []string{"#7", "proven"}, nil},
		{[]string{"get", "hosts"}, []string{"h1", "unknown"}, []string{"connected"}},
		{[]string{"health", "-o", "json"}, []string{`"status": "SERVING"`}, nil},
	} {
		code, stdout, stderr := run(t, f, "", test.args...)
		if code != 0 {
			t.Errorf("%v: exit code %d: %s", test.args, code, stderr)
		}
		for _, want := range test.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("%v lacks %q:\n%s", test.args, want, stdout)
			}
		}
		for _, not := range test.not {
			if strings.Contains(stdout, not) {
				t.Errorf("%v has %q:\n%s", test.args, not, stdout)
			}
		}
	}
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	f := &fleet{
		instances: someInstances(),
		hosts:     []*fleetv1.Host{{HostId: "h1", Connected: true, EngineReachable: true}},
	}
	code, stdout, _ := run(t, f, "", "doctor")
	want := "web@h1: no label is called chartroom.enabel (label.unknown)\n  mend it with: chartroom.enable=true\n1 managed, 1 observed, 1 finding\n"
	if diff := cmp.Diff(want, stdout); code != int(cli.Findings) || diff != "" {
		t.Errorf("exit code %d (-want +got):\n%s", code, diff)
	}
	f.instances[0].Findings = []*fleetv1.Finding{{Code: "outside", Message: "it is not for this agent", Severity: fleetv1.Severity_SEVERITY_INFO}}
	code, stdout, _ = run(t, f, "", "doctor")
	if diff := cmp.Diff("1 managed, 1 observed, 0 findings\n", stdout); code != 0 || diff != "" {
		t.Errorf("exit code %d (-want +got):\n%s", code, diff)
	}
	f.findings = []*fleetv1.Finding{{Code: "store.full", Message: "Redis is full", Fix: "give it more"}}
	code, stdout, _ = run(t, f, "", "doctor")
	want = "fleet: Redis is full (store.full)\n  mend it with: give it more\n1 managed, 1 observed, 1 finding\n"
	if diff := cmp.Diff(want, stdout); code != int(cli.Findings) || diff != "" {
		t.Errorf("of the fleet: exit code %d (-want +got):\n%s", code, diff)
	}
	f.findings = nil
	f.version = "v1.1"
	f.hosts[0].AgentVersion = "v1.0"
	f.hosts = append(f.hosts, &fleetv1.Host{HostId: "h2", Connected: true, EngineReachable: true, AgentVersion: "v1.0"})
	_, stdout, _ = run(t, f, "", "doctor")
	want = "fleet: programs of different versions: dev (this command line), v1.0 (the agent of h1 and 1 more), v1.1 (the gateway) (version.mixed)\n" +
		"  mend it with: install the newest version of all\n1 managed, 1 observed, 1 finding\n"
	if diff := cmp.Diff(want, stdout); diff != "" {
		t.Errorf("of three versions (-want +got):\n%s", diff)
	}
}

func TestWatchShowsWhatCameAfterTheList(t *testing.T) {
	t.Parallel()
	instance := func(why string) *fleetv1.WatchResponse {
		return &fleetv1.WatchResponse{Change: &fleetv1.WatchResponse_Instance{Instance: &fleetv1.Instance{InstanceId: "web", State: "running", Why: why}}}
	}
	lost := instance("running since noon")
	lost.GetInstance().Unknown, lost.GetInstance().UnknownReason = true, "the engine of h1 does not answer"
	f := &fleet{changes: []*fleetv1.WatchResponse{
		instance("old"), {Change: &fleetv1.WatchResponse_Synced{Synced: true}}, instance("new"), lost,
		{Change: &fleetv1.WatchResponse_RemovedInstanceId{RemovedInstanceId: "db"}},
	}}
	code, stdout, stderr := run(t, f, "", "watch")
	if code != 0 || strings.Contains(stdout, "old") || !strings.Contains(stdout, "new") || !strings.Contains(stdout, "db") {
		t.Errorf("exit code %d, stdout:\n%s%s", code, stdout, stderr)
	}
	if want := "running (unknown) the engine of h1 does not answer; last known: running since noon"; !strings.Contains(stdout, want) {
		t.Errorf("lacks %q:\n%s", want, stdout)
	}
	if _, stdout, _ = run(t, f, "", "watch", "--all"); !strings.Contains(stdout, "old") {
		t.Errorf("--all lacks what was there:\n%s", stdout)
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	f := &fleet{logs: []*fleetv1.LogsResponse{{Data: []byte("out\n")}, {Data: []byte("err\n"), Stderr: true}}}
	code, stdout, stderr := run(t, f, "", "logs", "web")
	if code != 0 || stdout != "out\n" || stderr != "err\n" {
		t.Errorf("logs: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	code, stdout, stderr = run(t, f, "hello", "attach", "web")
	if code != 0 || stdout != "HELLO" {
		t.Errorf("attach: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestInitThenHealthOverTLS(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tls")
	if code, _, stderr := run(t, nil, "", "init", dir); code != 0 {
		t.Fatalf("init: exit code %d: %s", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "token")); err != nil {
		t.Error(err)
	}
	if code, stdout, stderr := run(t, &fleet{}, "", "health"); code != 0 || stdout != "serving\n" {
		t.Errorf("health: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	// A plain server is not spoken to when TLS is asked for.
	if code, _, _ := run(t, &fleet{}, "", "health", "--tls-dir", dir); code != int(cli.Unreachable) {
		t.Errorf("health over TLS of a plain server: exit code %d, want %d", code, cli.Unreachable)
	}
}

func TestCompletionIsMade(t *testing.T) {
	t.Parallel()
	code, stdout, _ := run(t, nil, "", "completion", "bash")
	if code != 0 || !strings.Contains(stdout, "__start_chartroom") {
		t.Errorf("exit code %d, %d bytes", code, len(stdout))
	}
	_, stdout, _ = run(t, &fleet{instances: someInstances()}, "", "__complete", "stop", "w")
	if !strings.Contains(stdout, "web@h1\n") {
		t.Errorf("no instances offered:\n%s", stdout)
	}
	_, stdout, _ = run(t, &fleet{instances: someInstances()}, "", "__complete", "snapshot", "restore", "web", "")
	if !strings.Contains(stdout, "7\n") {
		t.Errorf("no snapshots offered:\n%s", stdout)
	}
}
