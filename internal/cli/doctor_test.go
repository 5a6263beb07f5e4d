// SPDX-License-Identifier: AGPL-3.0-or-later

package cli_test

import (
	"strings"
	"testing"

	"github.com/chartroom/chartroom/internal/cli"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// A managed container that is down to stay, or dies again and again, is a finding; one
// that is being started again for the first time, and one only observed, are none.
func TestDoctorTellsWhatIsDown(t *testing.T) {
	t.Parallel()
	bad := fleetv1.Severity_SEVERITY_ERROR
	for _, test := range []struct {
		name string
		of   *fleetv1.Instance
		want string // code, and part of the fix
	}{
		{"given up", &fleetv1.Instance{Configuration: []string{"stopped", "given_up"}, Severity: bad, DataJson: `{"attempts":10}`},
			"(instance.given-up)\n  mend it with: see chartroom log web@h1 --problems; start it when the cause is gone: chartroom start web@h1\n"},
		{"found crashed", &fleetv1.Instance{Configuration: []string{"stopped", "crashed", "unattended"}, Severity: bad, DataJson: `{"attempts":0}`},
			"(instance.crashed)\n  mend it with: see chartroom log web@h1 --problems; start it when the cause is gone: chartroom start web@h1\n"},
		{"again and again", &fleetv1.Instance{Configuration: []string{"stopped", "crashed", "backoff"}, Severity: bad, DataJson: `{"attempts":2}`},
			"(instance.crash-loop)\n  mend it with: see chartroom log web@h1 --problems; to end the restarts: chartroom stop web@h1\n"},
		{"again and again, up for a moment", &fleetv1.Instance{Configuration: []string{"started", "running"}, DataJson: `{"attempts":7}`}, "(instance.crash-loop)"},
		{"refused", &fleetv1.Instance{Configuration: []string{"absent"}, Severity: bad}, "(instance.error)\n  mend it with: see chartroom log web@h1 --problems\n"},
		{"told by its own finding", &fleetv1.Instance{Configuration: []string{"started", "running"}, Severity: bad,
			Findings: []*fleetv1.Finding{{Code: "snapshot.too-large", Message: "5 MiB"}}}, "web@h1: 5 MiB (snapshot.too-large)\n1 managed"},
		{"a first restart", &fleetv1.Instance{Configuration: []string{"stopped", "crashed", "backoff"}, Severity: bad, DataJson: `{"attempts":1}`}, ""},
		{"another's count", &fleetv1.Instance{Configuration: []string{"started"}, DataJson: `{"attempts":"many"}`}, ""},
		{"running", &fleetv1.Instance{Configuration: []string{"started", "running"}, DataJson: `{"attempts":0}`}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			i := test.of
			i.InstanceId, i.HostId, i.Managed, i.Target, i.Why = "web@h1", "h1", true, &fleetv1.Target{}, "That is why."
			f := &fleet{instances: []*fleetv1.Instance{i}, hosts: []*fleetv1.Host{{HostId: "h1", Connected: true, EngineReachable: true}}}
			code, stdout, _ := run(t, f, "", "doctor")
			switch {
			case test.want == "" && (code != 0 || stdout != "1 managed, 0 observed, 0 findings\n"):
				t.Errorf("exit code %d, want 0 and no findings:\n%s", code, stdout)
			case test.want != "" && (code != int(cli.Findings) || !strings.Contains(stdout, test.want) || !strings.HasSuffix(stdout, "1 finding\n")):
				t.Errorf("exit code %d, want %d and the finding %q:\n%s", code, cli.Findings, test.want, stdout)
			case strings.Contains(test.want, "(instance.") && !strings.Contains(stdout, "web@h1: That is why. ("):
				t.Errorf("does not say why:\n%s", stdout)
			}
			i.Managed = false
			i.Findings = nil
			if code, stdout, _ := run(t, f, "", "doctor"); code != 0 {
				t.Errorf("only observed: exit code %d:\n%s", code, stdout)
			}
		})
	}
}

// What is to be pasted stands in lines of its own, as it is meant.
func TestFixesInLines(t *testing.T) {
	t.Parallel()
	i := &fleetv1.Instance{InstanceId: "web@h1", HostId: "h1", Managed: true, Target: &fleetv1.Target{}, Findings: []*fleetv1.Finding{{
		Code: "socket.unreachable", Message: "no volume\x1b", Fix: "volumes:\n  - chartroom-run:/run/chartroom\x1b",
	}}}
	f := &fleet{instances: []*fleetv1.Instance{i}, hosts: []*fleetv1.Host{{HostId: "h1", Connected: true, EngineReachable: true}}}
	_, stdout, _ := run(t, f, "", "describe", "web@h1")
	at := strings.Repeat(" ", 13)
	if want := "finding      socket.unreachable: no volume \n" + at + "mend it with:\n" + at + "  volumes:\n" + at + "    - chartroom-run:/run/chartroom \n"; !strings.Contains(stdout, want) {
		t.Errorf("describe lacks\n%s\n%s", want, stdout)
	}
	_, stdout, _ = run(t, f, "", "doctor")
	if want := "  mend it with:\n    volumes:\n      - chartroom-run:/run/chartroom \n"; !strings.Contains(stdout, want) {
		t.Errorf("doctor lacks\n%s\n%s", want, stdout)
	}
}

// A service that does not answer is named, and no agent is blamed for not being heard.
func TestDoctorNamesTheServiceThatIsSilent(t *testing.T) {
	t.Parallel()
	f := &fleet{
		hosts:    []*fleetv1.Host{{HostId: "h1", Connected: true, Unknown: true}},
		findings: []*fleetv1.Finding{{Code: "service.silent", Message: "statemachine does not answer", Fix: "see its log"}},
	}
	want := "fleet: statemachine does not answer (service.silent)\n  mend it with: see its log\n0 managed, 0 observed, 1 finding\n"
	if code, stdout, _ := run(t, f, "", "doctor"); code != int(cli.Findings) || stdout != want {
		t.Errorf("exit code %d\n got %q\nwant %q", code, stdout, want)
	}
	f.findings = nil
	if _, stdout, _ := run(t, f, "", "doctor"); !strings.Contains(stdout, "host h1: the agent was last heard of") {
		t.Errorf("with all services there it is the agent:\n%s", stdout)
	}
}
