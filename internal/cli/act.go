// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// verbOf is the command of an intent: system.remove → rm.
func verbOf(intent string) string {
	switch verb := strings.TrimPrefix(intent, "system."); verb {
	case "remove":
		return "rm"
	case "restore", "take_snapshot":
		return "snapshot " + strings.TrimSuffix(verb, "_snapshot")
	default:
		return verb
	}
}

// intentCommands are the intents as verbs.
func (a *app) intentCommands() []*cobra.Command {
	plain := func(verb, short string) *cobra.Command {
		return a.intentCommand(verb, short, func(*cobra.Command) map[string]any { return nil })
	}
	stop := a.intentCommand("stop", "Stop the target gracefully", graceArgument)
	restart := a.intentCommand("restart", "Stop the target, then start it with its state", graceArgument)
	for _, c := range []*cobra.Command{stop, restart} {
		c.Flags().Duration("grace", 0, "how long it may take to end before it is killed, which --timeout does not count; 0 for the chart's own (10s)")
	}
	kill := a.intentCommand("kill", "Send the target a signal (SIGKILL unless told otherwise)", func(c *cobra.Command) map[string]any {
		if s := c.Flag("signal").Value.(*signal); *s != 0 {
			return map[string]any{"signal": int(*s)}
		}
		return nil
	})
	kill.Flags().VarP(new(signal), "signal", "s", "name or number of the signal (KILL)")
	rm := plain("rm", "Remove the container; its snapshots are kept for a time")
	rm.Long += "\n\nThe instance stays for a time, with its snapshots, for a container of the same name. Of an instance\n" +
		"without a container, a free one too, forget the record: its log and snapshots go."
	start := a.intentCommand("start", "Start the target with its last good state", func(c *cobra.Command) map[string]any {
		if n, _ := c.Flags().GetUint64("snapshot"); n != 0 {
			return map[string]any{"snapshot": n}
		}
		return nil
	})
	start.Flags().Uint64("snapshot", 0, "restore this snapshot; 0 leaves the choice to the chart")
	return []*cobra.Command{start, stop, restart, kill, plain("pause", "Freeze the target"), plain("unpause", "Go on with a paused target"), rm}
}

// signals are the names of those that a container is sent by hand, as Linux
// numbers them.
var signals = map[string]signal{
	"HUP": 1, "INT": 2, "QUIT": 3, "KILL": 9, "USR1": 10, "USR2": 12, "TERM": 15, "CONT": 18, "STOP": 19, "WINCH": 28,
}

// signal is a flag; 0 leaves the choice to the chart.
type signal int

func (s *signal) String() string { return "" }
func (s *signal) Type() string   { return "signal" }

// Set reads a number or a name, with or without SIG.
func (s *signal) Set(text string) error {
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n <= 64 {
		*s = signal(n)
		return nil
	}
	n, ok := signals[strings.TrimPrefix(strings.ToUpper(text), "SIG")]
	if !ok {
		return fmt.Errorf("want a number from 1 to 64, or one of %s", strings.Join(slices.Sorted(maps.Keys(signals)), ", "))
	}
	*s = n
	return nil
}

func graceArgument(c *cobra.Command) map[string]any {
	if d, _ := c.Flags().GetDuration("grace"); d > 0 {
		return map[string]any{"grace": d.Seconds()}
	}
	return nil
}

// intentCommand sends system.VERB to each instance named. All are tried; the
// first error decides the exit code.
func (a *app) intentCommand(verb, short string, arguments func(*cobra.Command) map[string]any) *cobra.Command {
	event := "system." + verb
	if verb == "rm" {
		event = "system.remove"
	}
	cmd := &cobra.Command{
		Use:               verb + " INSTANCE...",
		Short:             short,
		Long:              short + ".\n\nIt returns when that has happened, exits 1 with the reason when it has failed, and 5 when it was not seen in time.",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeInstances,
	}
	request := cmd.Flags().String("request-id", "", "repeating it within 24 h acts once; only with one instance")
	wait := &waiting{}
	wait.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *request != "" && len(args) > 1 {
			return usagef("--request-id goes with one instance")
		}
		data, err := value(arguments(cmd))
		if err != nil {
			return err
		}
		var intents []intent
		for _, id := range args {
			intents = append(intents, intent{
				what:    verbOf(event) + " " + id,
				request: &fleetv1.SendEventRequest{InstanceId: id, Event: event, Data: data, RequestId: *request},
			})
		}
		return a.ask(cmd, wait, intents)
	}
	return cmd
}

// intent is one that is asked for.
type intent struct {
	what    string // in words of the command line
	request *fleetv1.SendEventRequest
	answer  *fleetv1.SendEventResponse // nil until it is accepted
}

// ask sends intents, and waits until those that were accepted have happened. All are
// tried; the first error decides the exit code.
func (a *app) ask(cmd *cobra.Command, wait *waiting, intents []intent) error {
	if err := inTime(wait.timeout); err != nil {
		return err
	}
	var first error
	note := func(err error) {
		switch {
		case err == nil:
		case first == nil:
			first = err
		default:
			fmt.Fprintln(a.env.Stderr, "chartroom: "+explain(err))
		}
	}
	for n := range intents {
		answer, err := a.send(cmd, intents[n].request, intents[n].what)
		intents[n].answer = answer
		note(err)
	}
	if wait.not {
		return first
	}
	bound := wait.from(cmd)
	for _, i := range intents {
		if !i.followed() {
			continue
		}
		ctx, cancel := bound()
		note(a.withFleet(i.what, func(c fleetv1.FleetServiceClient) error { return a.await(ctx, c, i) }))
		cancel()
	}
	return first
}

// send gives one event to an instance and says what became of it.
func (a *app) send(cmd *cobra.Command, request *fleetv1.SendEventRequest, what string) (r *fleetv1.SendEventResponse, err error) {
	ctx, cancel := withTimeout(cmd.Context())
	defer cancel()
	return r, a.withFleet(what, func(c fleetv1.FleetServiceClient) error {
		if r, err = c.SendEvent(ctx, request); err != nil {
			return about(request.GetInstanceId(), err)
		}
		if done, err := a.printOne(r); done {
			return err
		}
		said := or(ignored(ctx, c, request, r), outcome(request, r, away(ctx, c, request.GetInstanceId()))+replayed(ctx, c, request))
		fmt.Fprintln(a.env.Stdout, said)
		return nil
	})
}

// away names the host of an instance whose agent is not there to act; empty when it is,
// or when that is not known.
func away(ctx context.Context, c fleetv1.FleetServiceClient, instance string) string {
	i, err := c.GetInstance(ctx, &fleetv1.GetInstanceRequest{InstanceId: instance})
	if err != nil || i.GetInstance().GetHostId() == "" {
		return ""
	}
	hosts, err := c.ListHosts(ctx, &fleetv1.ListHostsRequest{})
	if err != nil {
		return ""
	}
	for _, h := range hosts.GetHosts() {
		if h.GetHostId() == i.GetInstance().GetHostId() && (h.GetUnknown() || !h.GetConnected()) {
			return h.GetHostId()
		}
	}
	return ""
}

// replayed says what a start from a snapshot that was asked for by number means:
// the events after it come again, so the state may end up as it was. It is empty
// for any other event, or when the snapshot is not known.
func replayed(ctx context.Context, c fleetv1.FleetServiceClient, request *fleetv1.SendEventRequest) string {
	n := uint64(request.GetData().GetStructValue().GetFields()["snapshot"].GetNumberValue())
	if n == 0 || !strings.HasPrefix(request.GetEvent(), "system.") {
		return ""
	}
	r, err := c.GetInstance(ctx, &fleetv1.GetInstanceRequest{InstanceId: request.GetInstanceId()})
	if err != nil {
		return ""
	}
	snapshots := r.GetInstance().GetSnapshots()
	k := slices.IndexFunc(snapshots, func(s *fleetv1.ApplicationSnapshot) bool { return s.GetNumber() == n })
	if k < 0 {
		return ""
	}
	contained, accepted := snapshots[k].GetContainedSequence(), r.GetInstance().GetQueue().GetAcceptedSequence()
	said := fmt.Sprintf("; the container is started anew from snapshot #%d (contains events up to %d); ", n, contained)
	switch {
	case accepted <= contained:
		return said + "no event came after it"
	case accepted == contained+1:
		return said + "the event after it, if it is kept, is sent to it again"
	}
	return said + fmt.Sprintf("the %d events after it, as far as they are kept, are sent to it again", accepted-contained)
}

// ignored says that an event which the chart accepted has no transition; empty when it
// has one, or when that is not known.
func ignored(ctx context.Context, c fleetv1.FleetServiceClient, request *fleetv1.SendEventRequest, r *fleetv1.SendEventResponse) string {
	n := r.GetLogSequence()
	if r.GetOutcome() != fleetv1.Outcome_OUTCOME_ACCEPTED || strings.HasPrefix(request.GetEvent(), "system.") || n == 0 {
		return ""
	}
	log, err := c.ListLog(ctx, &fleetv1.ListLogRequest{InstanceId: request.GetInstanceId(), AfterSequence: n - 1, BeforeSequence: n + 1})
	if err != nil || len(log.GetEntries()) != 1 || log.GetEntries()[0].GetEvent() != request.GetEvent() ||
		slices.ContainsFunc(log.GetEntries()[0].GetMicrosteps(), func(m *fleetv1.Microstep) bool { return len(m.GetTransitions()) > 0 }) {
		return ""
	}
	said := fmt.Sprintf("%s: no transition for %s; it is in %s", request.GetInstanceId(), request.GetEvent(), strings.Join(r.GetConfiguration(), " "))
	if i, err := c.GetInstance(ctx, &fleetv1.GetInstanceRequest{InstanceId: request.GetInstanceId()}); err == nil && len(i.GetInstance().GetEnabledEvents()) > 0 {
		said += ", and has one for: " + strings.Join(i.GetInstance().GetEnabledEvents(), ", ")
	}
	return said
}

// outcome says what became of an event, also of one that waits for a host that is away.
func outcome(request *fleetv1.SendEventRequest, r *fleetv1.SendEventResponse, away string) string {
	waits := ""
	if away != "" {
		waits = "; it waits for its host: the agent of " + away + " is not connected"
	}
	switch r.GetOutcome() {
	case fleetv1.Outcome_OUTCOME_FORWARDED:
		if away != "" {
			return fmt.Sprintf("event %d: accepted, and delivered to %s when its host is back: the agent of %s is not connected",
				r.GetSequence(), request.GetInstanceId(), away)
		}
		return fmt.Sprintf("event %d: forwarded to %s", r.GetSequence(), request.GetInstanceId())
	case fleetv1.Outcome_OUTCOME_QUEUED:
		return fmt.Sprintf("event %d: queued at %s, %d before it%s", r.GetSequence(), request.GetInstanceId(), r.GetPosition(), waits)
	}
	said := strings.TrimPrefix(request.GetEvent(), "system.")
	if said != request.GetEvent() {
		return fmt.Sprintf("%s: %s accepted%s", request.GetInstanceId(), said, waits)
	}
	if len(r.GetConfiguration()) == 0 {
		return fmt.Sprintf("%s: %s taken; it has ended", request.GetInstanceId(), said)
	}
	return fmt.Sprintf("%s: %s taken; it is in %s", request.GetInstanceId(), said, strings.Join(r.GetConfiguration(), " "))
}

// value turns the arguments of an intent into the API's; nil when there are none.
func value(v map[string]any) (*structpb.Value, error) {
	if len(v) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode data: %w", err)
	}
	out := &structpb.Value{}
	if err := out.UnmarshalJSON(b); err != nil {
		return nil, fmt.Errorf("encode data: %w", err)
	}
	return out, nil
}

func (a *app) sendCommand() *cobra.Command {
	request, data := &fleetv1.SendEventRequest{}, ""
	cmd := &cobra.Command{
		Use:   "send INSTANCE EVENT [JSON]",
		Short: "Send an event to the application or the chart",
		Long: "Send an event. An application event goes to the program in the container, or waits in its queue, as the\n" +
			"state says; of a free instance it goes to the chart. JSON is its data; - reads it from standard input.",
		Example:           `  chartroom send counter add '{"number": 7}'`,
		Args:              cobra.RangeArgs(2, 3),
		ValidArgsFunction: a.completeInstance,
		RunE: func(cmd *cobra.Command, args []string) error {
			request.InstanceId, request.Event = args[0], args[1]
			if len(args) == 3 {
				data = args[2]
			}
			if data != "" {
				text := []byte(data)
				if data == "-" {
					var err error
					if text, err = io.ReadAll(a.env.Stdin); err != nil {
						return fmt.Errorf("read data: %w", err)
					}
				}
				request.Data = &structpb.Value{}
				var said any
				err := json.Unmarshal(text, &said)
				if err == nil {
					err = request.Data.UnmarshalJSON(text)
				}
				if err != nil {
					return usagef("the data is not JSON: %w\nText needs quotes of its own: '\"hello\"'", err)
				}
			}
			_, err := a.send(cmd, request, "send "+args[1]+" to "+args[0])
			return err
		},
	}
	cmd.Flags().StringVarP(&data, "data", "d", "", "the JSON, instead of as an argument")
	cmd.Flags().StringVar(&request.RequestId, "request-id", "", "repeating it within 24 h is answered with the first answer")
	return cmd
}

func (a *app) waitCommand() *cobra.Command {
	var state string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "wait INSTANCE",
		Short: "Wait for the target's exit, or for a state",
		Long: "Wait until the target exits and print its exit code, or with --state until that state is active.\n" +
			"Exit 5 when the time is over.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeInstance,
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &fleetv1.WaitInstanceRequest{InstanceId: args[0], State: state}
			what := "wait for the exit of " + args[0]
			if state != "" {
				what = fmt.Sprintf("wait for %s to be %s", args[0], state)
			}
			if err := inTime(timeout); err != nil {
				return err
			}
			if timeout > 0 {
				request.Timeout = durationpb.New(timeout)
			}
			return a.withFleet(what, func(c fleetv1.FleetServiceClient) error {
				r, err := c.WaitInstance(cmd.Context(), request)
				if err != nil {
					return err
				}
				if done, err := a.printOne(r); done {
					return err
				}
				if state == "" {
					fmt.Fprintln(a.env.Stdout, r.GetExitCode())
					return nil
				}
				fmt.Fprintf(a.env.Stdout, "%s is %s\n", r.GetInstance().GetInstanceId(), state)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "wait for this state instead")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this; 0 never")
	return cmd
}

func (a *app) snapshotCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "snapshot", Aliases: []string{"snapshots"}, Short: "List, read, compare, take and restore application snapshots"}
	get := &cobra.Command{
		Use:   "get INSTANCE [NUMBER]",
		Short: "Write the body of a snapshot to standard output; the newest without a number",
		Long: "Write the body of a snapshot to standard output, byte for byte; without a number the newest. On a terminal, and with\n" +
			"--readable, it is laid out, and of a chart that runs as an application shows the active states and the data.",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeSnapshots,
	}
	file := get.Flags().StringP("file", "f", "", "write it to this file instead")
	laidOut := get.Flags().Bool("readable", false, "lay it out for people; on a terminal it is, without =false")
	get.RunE = func(cmd *cobra.Command, args []string) error {
		request := &fleetv1.GetSnapshotRequest{InstanceId: args[0]}
		if len(args) == 2 {
			n, err := number(args[1])
			if err != nil {
				return err
			}
			request.Number = n
		}
		ctx, cancel := withTimeout(cmd.Context())
		defer cancel()
		return a.withFleet("get snapshot of "+args[0], func(c fleetv1.FleetServiceClient) error {
			r, err := c.GetSnapshot(ctx, request)
			if err != nil {
				return about(args[0], err)
			}
			if *file != "" {
				return os.WriteFile(*file, r.GetBody(), 0o600)
			}
			if done, err := a.printOne(r); done {
				return err
			}
			if *laidOut || isTerminal(a.env.Stdout) && !cmd.Flags().Changed("readable") {
				return writeReadable(a.env.Stdout, r.GetBody())
			}
			_, err = a.env.Stdout.Write(r.GetBody())
			return err
		})
	}
	wait := &waiting{}
	restore := &cobra.Command{
		Use:   "restore INSTANCE NUMBER",
		Short: "Start the target anew from a snapshot, then send it the later events again",
		Long: "Start the target anew from this snapshot; one that runs is stopped first. The events after the snapshot that are\n" +
			"kept are sent to it again, so that the state may come out as it was. The answer says how many came after it.\n" +
			"It returns when the target is running again, and exits 1 with the reason when that has failed.",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeSnapshots,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := number(args[1])
			if err != nil {
				return err
			}
			data, err := value(map[string]any{"snapshot": n})
			if err != nil {
				return err
			}
			return a.ask(cmd, wait, []intent{{
				what:    fmt.Sprintf("restore snapshot #%d of %s", n, args[0]),
				request: &fleetv1.SendEventRequest{InstanceId: args[0], Event: "system.restore", Data: data},
			}})
		},
	}
	wait.register(restore)
	take := a.intentCommand("take_snapshot", "Ask the application for a snapshot now", func(*cobra.Command) map[string]any { return nil })
	take.Use = "take INSTANCE..."
	cmd.AddCommand(a.snapshotListCommand(), get, a.snapshotDiffCommand(), restore, take)
	return cmd
}

// number reads a snapshot's number, with or without "#".
func number(text string) (uint64, error) {
	var n uint64
	if _, err := fmt.Sscanf(strings.TrimPrefix(text, "#"), "%d", &n); err != nil || n == 0 {
		return 0, usagef("%q is not the number of a snapshot; numbers are from 1", text)
	}
	return n, nil
}

func (a *app) snapshotListCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "ls INSTANCE",
		Short:             "List the application snapshots of an instance",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeInstance,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := withTimeout(cmd.Context())
			defer cancel()
			var instance *fleetv1.Instance
			err := a.withFleet("list snapshots of "+args[0], func(c fleetv1.FleetServiceClient) error {
				r, err := c.GetInstance(ctx, &fleetv1.GetInstanceRequest{InstanceId: args[0]})
				instance = r.GetInstance()
				return err
			})
			if err != nil {
				return err
			}
			return a.printSnapshots(instance, time.Now())
		},
	}
}

func (a *app) printSnapshots(i *fleetv1.Instance, now time.Time) error {
	t := table{columns: []string{"NUMBER", "VERDICT", "CONTAINS", "SIZE", "AGE", "RUN", "SHA256"}, wide: 5}
	for _, s := range i.GetSnapshots() {
		t.add(fmt.Sprintf("#%d", s.GetNumber()), word(s.GetVerdict().String(), "VERDICT_"), fmt.Sprint(s.GetContainedSequence()),
			size(s.GetSizeBytes()), ago(s.GetCreateTime(), now), s.GetRunTime().AsTime().Format(time.RFC3339Nano), s.GetSha256())
	}
	if len(i.GetSnapshots()) == 0 && a.output == "table" {
		fmt.Fprintf(a.env.Stderr, "No snapshots of %s yet.\n", i.GetInstanceId())
		return nil
	}
	return a.print("snapshots", messages(slices.Values(i.GetSnapshots())), t)
}
