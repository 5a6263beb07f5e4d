// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

func (a *app) getCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "get", Short: "List instances, hosts, charts, snapshots or a log"}
	snapshots := a.snapshotListCommand()
	snapshots.Use, snapshots.Aliases = "snapshots INSTANCE", []string{"snapshot"}
	log := a.logCommand()
	log.Use = "log INSTANCE"
	charts := a.chartListCommand()
	charts.Use, charts.Aliases = "charts", []string{"chart"}
	cmd.AddCommand(a.getInstancesCommand(), a.getHostsCommand(), charts, snapshots, log)
	return cmd
}

func (a *app) getInstancesCommand() *cobra.Command {
	request, quiet := &fleetv1.ListInstancesRequest{}, false
	cmd := &cobra.Command{
		Use:     "instances [INSTANCE...]",
		Aliases: []string{"instance", "i", "ps"},
		Short:   "List instances",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if quiet && cmd.Flags().Changed("output") {
				return usagef("--quiet has a form of its own: leave --output out")
			}
			ctx, cancel := withTimeout(cmd.Context())
			defer cancel()
			var instances []*fleetv1.Instance
			err := a.withFleet("list instances", func(c fleetv1.FleetServiceClient) (err error) {
				if len(args) == 0 {
					instances, err = listInstances(ctx, c, request)
					return err
				}
				for _, id := range args {
					r, err := c.GetInstance(ctx, &fleetv1.GetInstanceRequest{InstanceId: id})
					if err != nil {
						return err
					}
					instances = append(instances, r.GetInstance())
				}
				return nil
			})
			if err != nil {
				return err
			}
			if quiet {
				for _, i := range instances {
					fmt.Fprintln(a.env.Stdout, i.GetInstanceId())
				}
				return nil
			}
			if len(instances) == 0 && a.output == "table" && (request.GetState() != "" || request.GetHostId() != "" || request.GetManaged() || request.GetQuery() != "") {
				fmt.Fprintln(a.env.Stderr, "No instance is like that. See all: chartroom get instances")
				return nil
			}
			return a.printInstances(instances)
		},
		ValidArgsFunction: a.completeInstances,
	}
	f := cmd.Flags()
	f.StringVar(&request.State, "state", "", "only those in this state")
	f.StringVar(&request.HostId, "host", "", "only those of this host")
	f.BoolVar(&request.Managed, "managed", false, "only managed ones")
	f.StringVar(&request.Query, "query", "", "only those whose id or name contains this")
	f.BoolVarP(&quiet, "quiet", "q", false, "only the ids, one a line")
	return cmd
}

// listInstances reads all pages.
func listInstances(ctx context.Context, c fleetv1.FleetServiceClient, request *fleetv1.ListInstancesRequest) ([]*fleetv1.Instance, error) {
	r := proto.CloneOf(request)
	r.PageSize = 1000
	var all []*fleetv1.Instance
	for {
		page, err := c.ListInstances(ctx, r)
		if err != nil {
			return nil, err
		}
		all = append(all, page.GetInstances()...)
		if page.GetNextPageToken() == "" {
			return all, nil
		}
		r.PageToken = page.GetNextPageToken()
	}
}

func (a *app) printInstances(instances []*fleetv1.Instance) error {
	now := time.Now()
	t := table{
		columns: []string{"INSTANCE", "STATE", "EVENTS", "QUEUE", "SNAPSHOT", "CHANGED", "WHY", "CHART", "IMAGE", "CONTAINER", "CHANNEL"},
		wide:    7,
	}
	messages := make([]proto.Message, 0, len(instances))
	for _, i := range instances {
		messages = append(messages, i)
		t.add(i.GetInstanceId(), stateOf(i), word(i.GetAdmission().String(), "ADMISSION_"), queueOf(i), newestSnapshot(i, now),
			ago(i.GetUpdateTime(), now), dash(whyOf(i, now)), i.GetChartName(), dash(i.GetTarget().GetImage()),
			dash(short(i.GetTarget().GetContainerId())), dash(i.GetTarget().GetChannel()))
	}
	if len(instances) == 0 && a.output == "table" {
		fmt.Fprintln(a.env.Stderr, "No instances. Make one with: chartroom run IMAGE, or chartroom run FILE.scxml")
		return nil
	}
	return a.print("instances", messages, t)
}

// stateOf is the one word, with what a reader must not miss.
func stateOf(i *fleetv1.Instance) string {
	s := dash(i.GetState())
	switch {
	case i.GetUnknown():
		return s + " (unknown)"
	case i.GetTarget() != nil && !i.GetManaged():
		return s + " (observed)"
	}
	return s
}

// whyOf says why an instance is as it is; of one that is unknown, first why that is.
func whyOf(i *fleetv1.Instance, now time.Time) string {
	if !i.GetUnknown() {
		return i.GetWhy()
	}
	return doubt(i, now) + "; last known: " + dash(i.GetWhy())
}

// doubt says why an instance is unknown, and since when.
func doubt(i *fleetv1.Instance, now time.Time) string {
	if i.GetLastSeenTime() == nil {
		return i.GetUnknownReason()
	}
	return i.GetUnknownReason() + ", last seen " + ago(i.GetLastSeenTime(), now) + " ago"
}

// queueOf is how many events wait, of how many.
func queueOf(i *fleetv1.Instance) string {
	q := i.GetQueue()
	if q == nil || q.GetLimit() == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d", q.GetWaiting(), q.GetLimit())
}

func newestSnapshot(i *fleetv1.Instance, now time.Time) string {
	if len(i.GetSnapshots()) == 0 {
		return "-"
	}
	s := i.GetSnapshots()[0]
	return fmt.Sprintf("#%d %s", s.GetNumber(), ago(s.GetCreateTime(), now))
}

// short is the form of an engine's id that people know.
func short(id string) string { return id[:min(12, len(id))] }

func (a *app) getHostsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "hosts",
		Aliases: []string{"host"},
		Short:   "List hosts",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := withTimeout(cmd.Context())
			defer cancel()
			var hosts []*fleetv1.Host
			err := a.withFleet("list hosts", func(c fleetv1.FleetServiceClient) error {
				r, err := c.ListHosts(ctx, &fleetv1.ListHostsRequest{})
				hosts = r.GetHosts()
				return err
			})
			if err != nil {
				return err
			}
			now := time.Now()
			t := table{columns: []string{"HOST", "NAME", "STATE", "SEEN", "ENGINE", "AGENT", "FINDINGS", "PLATFORM", "API", "JOURNAL", "GAPS"}, wide: 7}
			messages := make([]proto.Message, 0, len(hosts))
			for _, h := range hosts {
				messages = append(messages, h)
				t.add(h.GetHostId(), dash(h.GetDisplayName()), hostState(h), ago(h.GetLastSeenTime(), now),
					dash(h.GetEngineVersion()), dash(h.GetAgentVersion()), fmt.Sprint(len(h.GetFindings())),
					dash(h.GetPlatform()), dash(h.GetEngineApiVersion()),
					fmt.Sprintf("%s:%d", dash(h.GetJournalId()), h.GetJournalSequence()), fmt.Sprint(len(h.GetGaps())))
			}
			return a.print("hosts", messages, t)
		},
	}
}

func hostState(h *fleetv1.Host) string {
	switch {
	case h.GetUnknown():
		return "unknown"
	case !h.GetConnected():
		return "away"
	case !h.GetEngineReachable():
		return "engine unreachable"
	}
	return "connected"
}

func (a *app) describeCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "describe INSTANCE",
		Aliases:           []string{"cat"},
		Short:             "Tell everything about an instance",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeInstance,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := withTimeout(cmd.Context())
			defer cancel()
			var i *fleetv1.Instance
			err := a.withFleet("describe "+args[0], func(c fleetv1.FleetServiceClient) error {
				r, err := c.GetInstance(ctx, &fleetv1.GetInstanceRequest{InstanceId: args[0]})
				i = r.GetInstance()
				return err
			})
			if err != nil {
				return err
			}
			if done, err := a.printOne(i); done {
				return err
			}
			return a.describe(i, time.Now())
		},
	}
}

// describe writes an instance for people.
func (a *app) describe(i *fleetv1.Instance, now time.Time) error {
	w := a.env.Stdout
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("instance", "%s", i.GetInstanceId())
	line("state", "%s", stateOf(i))
	if i.GetUnknown() {
		line("unknown", "%s; the rest is what was last known", doubt(i, now))
	}
	if i.GetWhy() != "" {
		line("why", "%s", i.GetWhy())
	}
	line("active", "%s", strings.Join(i.GetConfiguration(), " "))
	line("chart", "%s %s", i.GetChartName(), short(strings.TrimPrefix(i.GetChartDigest(), "sha256:")))
	switch {
	case i.GetUnknown() && i.GetHostId() != "":
		line("host", "%s", i.GetHostId())
	case i.GetHostId() != "":
		line("host", "%s, last seen %s ago", i.GetHostId(), ago(i.GetLastSeenTime(), now))
	}
	if i.GetTarget() != nil {
		line("target", "%s", targetWords(i, now))
	}
	line("allowed", "%s", allowedWords(i))
	line("events", "%s", admissionWords(i))
	if i.GetHostId() == "" {
		line("takes", "%s", dash(strings.Join(i.GetEnabledEvents(), ", ")))
		line("data", "%s", dataWords(i))
	}
	if q := i.GetQueue(); q.GetLimit() > 0 {
		line("queue", "%d accepted, %d delivered, %d contained in the newest snapshot; %d of %d waiting",
			q.GetAcceptedSequence(), q.GetDeliveredSequence(), q.GetContainedSequence(), q.GetWaiting(), q.GetLimit())
	}
	for n, s := range i.GetSnapshots() {
		if n == 5 {
			line("", "and %d more: chartroom snapshot ls %s", len(i.GetSnapshots())-n, i.GetInstanceId())
			break
		}
		contains := ""
		if !fromFile(i) {
			contains = fmt.Sprintf("contains events up to %d, ", s.GetContainedSequence())
		}
		line("snapshot", "#%d %s, %s%s, %s ago", s.GetNumber(),
			word(s.GetVerdict().String(), "VERDICT_"), contains, size(s.GetSizeBytes()), ago(s.GetCreateTime(), now))
	}
	for _, t := range i.GetTimers() {
		line("timer", "%s in %s", t.GetEvent(), max(0, t.GetDueTime().AsTime().Sub(now)).Round(time.Second))
	}
	for _, f := range i.GetFindings() {
		line("finding", "%s: %s", f.GetCode(), f.GetMessage())
		for _, said := range fixLines(f.GetFix()) {
			line("", "%s", said)
		}
	}
	line("log", "up to entry %d: chartroom log %s", i.GetLogSequence(), i.GetInstanceId())
	return nil
}

// fixLines are how to mend a finding: one line, or those to paste below it, indented as
// they are meant.
func fixLines(fix string) []string {
	lines := strings.Split(strings.TrimRight(fix, "\n"), "\n")
	switch {
	case fix == "":
		return nil
	case len(lines) == 1:
		return []string{"mend it with: " + fix}
	}
	for n := range lines {
		lines[n] = "  " + lines[n]
	}
	return append([]string{"mend it with:"}, lines...)
}

// targetWords tells of the target what is known of it.
func targetWords(i *fleetv1.Instance, now time.Time) string {
	t := i.GetTarget()
	if t.GetContainerId() == "" {
		return "no container of " + dash(t.GetImage()) + " now"
	}
	started := "not started yet"
	if t.GetStartedTime() != nil {
		started = "started " + ago(t.GetStartedTime(), now) + " ago"
	}
	named := ""
	if name := engineName(i); name != "" && name != i.GetName() {
		named = ", named " + name
	}
	return fmt.Sprintf("%s %s%s of %s, generation %d, %s, channel %s",
		t.GetKind(), short(t.GetContainerId()), named, dash(t.GetImage()), t.GetGeneration(), started, or(t.GetChannel(), "none"))
}

// engineName is the name that the container has now, which is not that of the instance
// after docker rename or with a label; empty of a chart that does not keep it.
func engineName(i *fleetv1.Instance) string {
	var data struct {
		Name string `json:"name"`
	}
	if json.Unmarshal([]byte(i.GetDataJson()), &data) != nil {
		return ""
	}
	return data.Name
}

// shownData bounds the data that describe shows, in bytes.
const shownData = 1000

// dataWords is the datamodel of a chart, where it is short.
func dataWords(i *fleetv1.Instance) string {
	if n := len(i.GetDataJson()); n > shownData {
		return fmt.Sprintf("%s: chartroom describe %s -o json", size(uint64(n)), i.GetInstanceId())
	}
	return dash(i.GetDataJson())
}

// fromFile says whether the snapshots of an instance are a file, which tells of no
// events.
func fromFile(i *fleetv1.Instance) bool {
	return strings.HasPrefix(i.GetTarget().GetChannel(), "file:")
}

// allowedWords are the intents that are accepted now, or why none is.
func allowedWords(i *fleetv1.Instance) string {
	var allowed []string
	for _, intent := range i.GetAllowedIntents() {
		allowed = append(allowed, verbOf(intent))
	}
	switch {
	case len(allowed) > 0:
		return strings.Join(allowed, ", ")
	case i.GetFinished():
		return "nothing: the chart has ended"
	case i.GetTarget() != nil && !i.GetManaged():
		return "nothing: it is observed only"
	case i.GetHostId() == "":
		return "nothing: the chart has no transition for an intent in " + dash(i.GetState())
	}
	return "nothing now: what was asked for last may be under way; chartroom watch " + i.GetInstanceId()
}

func admissionWords(i *fleetv1.Instance) string {
	switch i.GetAdmission() {
	case fleetv1.Admission_ADMISSION_FORWARD:
		return "are forwarded"
	case fleetv1.Admission_ADMISSION_QUEUE:
		return "wait in the queue"
	case fleetv1.Admission_ADMISSION_FAIL:
		return "are refused: " + refusedWords(i)
	}
	return "-"
}

// refusedWords say why no events are taken, and what makes it take them.
func refusedWords(i *fleetv1.Instance) string {
	channel := i.GetTarget().GetChannel()
	in := func(state string) bool { return slices.Contains(i.GetConfiguration(), state) }
	switch {
	case i.GetFinished():
		return "the chart has ended"
	case i.GetHostId() != "" && !i.GetManaged():
		return "it is observed only"
	case i.GetHostId() != "" && (fromFile(i) || channel == "" || channel == "none"):
		return "its channel is " + or(channel, "none") + ", which carries none"
	case in("breaker.open"): // of the container's chart, and of those made from it
		return "its breaker is open, because it did not answer; it is tried again by itself"
	case in("lifecycle") && !in("started") && slices.Contains(i.GetAllowedIntents(), "system.start"):
		return "it is not running (" + i.GetState() + "); chartroom start " + i.GetInstanceId()
	case in("lifecycle") && !in("started"):
		return "it is not running (" + i.GetState() + ")"
	}
	return "the chart refuses them in " + dash(i.GetState()) + ` (cr:admit="fail")`
}
