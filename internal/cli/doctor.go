// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chartroom/chartroom/internal/version"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// finding is one thing to mend, and where.
type finding struct {
	Where   string `json:"where"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// diagnosis is what doctor found.
type diagnosis struct {
	Managed  int       `json:"managed"`
	Observed int       `json:"observed"`
	Free     int       `json:"free"`
	Hosts    int       `json:"hosts"`
	Findings []finding `json:"findings"`
}

// summary is the last line: "1 managed, 6 observed, 0 findings".
func (d diagnosis) summary() string {
	return fmt.Sprintf("%d managed, %d observed, %s", d.Managed, d.Observed, counted(len(d.Findings), "finding"))
}

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong: engine, labels, restart policies, versions (exit 8 on findings)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := withTimeout(cmd.Context())
			defer cancel()
			var d diagnosis
			err := a.withFleet("doctor", func(c fleetv1.FleetServiceClient) (err error) {
				d, err = a.diagnose(ctx, c, time.Now())
				return err
			})
			if err != nil {
				return err
			}
			if a.output == "json" || a.output == "yaml" {
				list := make([]any, 0, len(d.Findings))
				for _, f := range d.Findings {
					list = append(list, map[string]any{"where": f.Where, "code": f.Code, "message": f.Message, "fix": f.Fix})
				}
				if err := a.encode(map[string]any{"managed": d.Managed, "observed": d.Observed, "free": d.Free, "hosts": d.Hosts, "findings": list}); err != nil {
					return err
				}
			} else {
				for _, f := range d.Findings {
					fmt.Fprintf(a.env.Stdout, "%s: %s (%s)\n", f.Where, printable(f.Message), f.Code)
					for _, said := range fixLines(f.Fix) {
						fmt.Fprintln(a.env.Stdout, "  "+printable(said))
					}
				}
				fmt.Fprintln(a.env.Stdout, d.summary())
			}
			if len(d.Findings) > 0 {
				return codeError{Findings, errors.New("")} // they are told already
			}
			return nil
		},
	}
}

// diagnose asks for hosts and instances and collects what is wrong with them.
func (a *app) diagnose(ctx context.Context, c fleetv1.FleetServiceClient, now time.Time) (diagnosis, error) {
	var d diagnosis
	add := func(where string, f finding) { f.Where = where; d.Findings = append(d.Findings, f) }
	hosts, err := c.ListHosts(ctx, &fleetv1.ListHostsRequest{})
	if err != nil {
		return d, err
	}
	heard := true // what agents say
	for _, f := range hosts.GetFindings() {
		heard = heard && f.GetCode() != codeSilent
		add("fleet", finding{Code: f.GetCode(), Message: f.GetMessage(), Fix: f.GetFix()})
	}
	d.Hosts = len(hosts.GetHosts())
	if d.Hosts == 0 {
		add("fleet", finding{Code: "host.none", Message: "no agent has ever connected", Fix: "dockeragent --statemachine ADDRESS --state DIR, on each host"})
	}
	programs := map[string][]string{} // by version
	note := func(version, program string) {
		if version != "" {
			programs[version] = append(programs[version], program)
		}
	}
	note(version.Version, "this command line")
	note(hosts.GetServerVersion(), "the gateway")
	for _, h := range hosts.GetHosts() {
		where := "host " + h.GetHostId()
		switch {
		case !heard: // It is not known whether the agent is there, and not its fault.
		case h.GetUnknown() || !h.GetConnected():
			add(where, finding{Code: "host.away", Message: "the agent was last heard of " + ago(h.GetLastSeenTime(), now) + " ago", Fix: "start dockeragent there, or see its log"})
		case !h.GetEngineReachable():
			add(where, finding{Code: "engine.unreachable", Message: "the engine does not answer its agent", Fix: "systemctl start docker, there"})
		}
		for _, f := range h.GetFindings() {
			add(where, finding{Code: f.GetCode(), Message: f.GetMessage(), Fix: f.GetFix()})
		}
		note(h.GetAgentVersion(), "the agent of "+h.GetHostId())
	}
	if len(programs) > 1 {
		var each []string
		for _, v := range slices.Sorted(maps.Keys(programs)) {
			who := programs[v][0]
			if more := len(programs[v]) - 1; more > 0 {
				who += fmt.Sprintf(" and %d more", more)
			}
			each = append(each, v+" ("+who+")")
		}
		add("fleet", finding{Code: "version.mixed", Message: "programs of different versions: " + strings.Join(each, ", "), Fix: "install the newest version of all"})
	}
	instances, err := listInstances(ctx, c, &fleetv1.ListInstancesRequest{})
	if err != nil {
		return d, err
	}
	for _, i := range instances {
		switch {
		case i.GetTarget() == nil && i.GetHostId() == "":
			d.Free++
		case i.GetState() == "destroyed":
			// Kept for its snapshots; there is no container to count.
		case i.GetManaged():
			d.Managed++
		default:
			d.Observed++
		}
		known := len(d.Findings)
		for _, f := range i.GetFindings() {
			if f.GetSeverity() == fleetv1.Severity_SEVERITY_INFO {
				continue // nothing to mend
			}
			add(i.GetInstanceId(), finding{Code: f.GetCode(), Message: f.GetMessage(), Fix: f.GetFix()})
		}
		// The sentence of one that has findings may be about those.
		if f, ok := ailing(i, now); ok && (f.Code != codeAmiss || len(d.Findings) == known) {
			add(i.GetInstanceId(), f)
		}
	}
	return d, nil
}

// Codes of findings about what a managed container does, beside those about how it
// is set up.
const (
	codeGivenUp   = "instance.given-up"
	codeCrashed   = "instance.crashed"
	codeCrashLoop = "instance.crash-loop"
	codeAmiss     = "instance.error"
)

// codeSilent is the server's for a service that does not serve.
const codeSilent = "service.silent"

// ailing is the finding that a managed container is down to stay, dies again and
// again, or is refused what was asked for it. A first restart is none: that is what
// chartroom is for.
func ailing(i *fleetv1.Instance, now time.Time) (finding, bool) {
	if !i.GetManaged() || i.GetTarget() == nil {
		return finding{}, false
	}
	id := i.GetInstanceId()
	f := finding{Message: whyOf(i, now), Fix: "see chartroom log " + id + " --problems"}
	in := func(state string) bool { return slices.Contains(i.GetConfiguration(), state) }
	switch start := "; start it when the cause is gone: chartroom start " + id; {
	case in("given_up"):
		f.Code, f.Fix = codeGivenUp, f.Fix+start
	case in("unattended"):
		f.Code, f.Fix = codeCrashed, f.Fix+start
	case attempts(i) > 1:
		f.Code, f.Fix = codeCrashLoop, f.Fix+"; to end the restarts: chartroom stop "+id
	case i.GetSeverity() == fleetv1.Severity_SEVERITY_ERROR && !in("crashed"):
		f.Code = codeAmiss
	default:
		return finding{}, false
	}
	return f, true
}

// attempts is how often the chart of a container has tried to start it again since
// it last ran well; 0 of a chart that does not count them.
func attempts(i *fleetv1.Instance) int {
	var data struct {
		Attempts int `json:"attempts"`
	}
	if json.Unmarshal([]byte(i.GetDataJson()), &data) != nil {
		return 0
	}
	return data.Attempts
}
