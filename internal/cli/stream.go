// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

func (a *app) watchCommand() *cobra.Command {
	request := &fleetv1.WatchRequest{}
	all := false
	cmd := &cobra.Command{
		Use:   "watch [INSTANCE]",
		Short: "Show each change of the fleet, or of one instance, as it happens",
		Long: "Show what changes as it happens, one line each: why an instance is in another state, else what is new (an event,\n" +
			"a snapshot, a finding). With -o json every change of a view is an object, one a line. It goes on after a break\n" +
			"of the connection without missing anything. End it with an interrupt.",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeInstance,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				request.InstanceId = args[0]
			}
			known := &views{}
			return a.withFleet("watch", func(c fleetv1.FleetServiceClient) error {
				return a.watch(cmd.Context(), c, request, func(change *fleetv1.WatchResponse, news bool) error {
					return a.showChange(change, known, news || all)
				})
			})
		},
	}
	cmd.Flags().BoolVar(&request.Log, "log", false, "show log entries too")
	cmd.Flags().BoolVar(&all, "all", false, "show what is there already too")
	return cmd
}

// watch shows changes until ctx ends; what was there already is no news. A
// break of the stream is resumed at the token, the log of one instance after the
// last entry; a token that is not honoured starts again with the full list.
func (a *app) watch(ctx context.Context, c fleetv1.FleetServiceClient, request *fleetv1.WatchRequest, show func(change *fleetv1.WatchResponse, news bool) error) error {
	r := proto.CloneOf(request)
	for synced, begun, broken := false, false, false; ; {
		stream, err := c.Watch(ctx, r)
		for err == nil {
			var change *fleetv1.WatchResponse
			if change, err = stream.Recv(); err != nil {
				break
			}
			begun, broken = true, false
			r.Token = or(change.GetToken(), r.GetToken())
			if change.GetReset_() {
				r.Token, synced = "", true
				break
			}
			if e := change.GetLog(); e != nil && r.GetInstanceId() != "" {
				r.AfterLogSequence = e.GetSequence()
			}
			if change.GetSynced() {
				synced = true
			} else {
				err = show(change, synced)
			}
		}
		switch {
		case err == nil:
			continue // a reset
		case ctx.Err() != nil || !begun || status.Code(err) != codes.Unavailable:
			return ended(ctx, err)
		case !broken:
			broken = true
			fmt.Fprintln(a.env.Stderr, "chartroom: the connection broke; trying again, and going on where it ended")
		}
		select {
		case <-time.After(retryEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

// retryEvery is the pause before a stream that broke is asked for again.
const retryEvery = 500 * time.Millisecond

// showChange writes one line, or none when it is no news or there is nothing to see
// in it.
func (a *app) showChange(change *fleetv1.WatchResponse, known *views, news bool) error {
	if a.output == "json" || a.output == "yaml" {
		if !news {
			return nil
		}
		v, err := plain(change)
		if err != nil {
			return err
		}
		if a.output == "yaml" {
			fmt.Fprintln(a.env.Stdout, "---")
			return a.encode(v)
		}
		return json.NewEncoder(a.env.Stdout).Encode(v)
	}
	w := a.env.Stdout
	switch {
	case change.GetInstance() != nil:
		i := change.GetInstance()
		if said := known.instance(i, time.Now()); said != "" && news {
			fmt.Fprintf(w, "%s  %-30s %-14s %s\n", i.GetUpdateTime().AsTime().Local().Format("15:04:05.000"), i.GetInstanceId(), stateOf(i), printable(said))
		}
	case change.GetHost() != nil:
		h := change.GetHost()
		if said := known.host(h); said != "" && news {
			fmt.Fprintf(w, "%s  host %-25s %s\n", h.GetLastSeenTime().AsTime().Local().Format("15:04:05.000"), h.GetHostId(), said)
		}
	case change.GetRemovedInstanceId() != "":
		known.gone(change.GetRemovedInstanceId())
		if news {
			fmt.Fprintf(w, "%12s  %-30s gone\n", "", change.GetRemovedInstanceId())
		}
	case !news:
	case change.GetLog() != nil:
		a.showEntry(change.GetLog())
	case change.GetChart() != nil:
		fmt.Fprintf(w, "%s  chart %s %s\n", change.GetChart().GetCreateTime().AsTime().Local().Format("15:04:05.000"),
			change.GetChart().GetName(), short(change.GetChart().GetDigest()))
	}
	return nil
}

func (a *app) logCommand() *cobra.Command {
	request := &fleetv1.ListLogRequest{}
	var follow bool
	cmd := &cobra.Command{
		Use:               "log INSTANCE",
		Short:             "Show what the chart of an instance did and why",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeInstance,
		RunE: func(cmd *cobra.Command, args []string) error {
			r := proto.CloneOf(request)
			r.InstanceId, r.Descending = args[0], true // the newest, shown oldest first
			var entries []*fleetv1.LogEntry
			return a.withFleet("log of "+args[0], func(c fleetv1.FleetServiceClient) error {
				ctx, cancel := withTimeout(cmd.Context())
				defer cancel()
				page, err := c.ListLog(ctx, r)
				if err != nil {
					return err
				}
				entries = page.GetEntries()
				slices.Reverse(entries)
				if !follow && a.output != "table" && a.output != "wide" {
					return a.print("entries", messages(slices.Values(entries)), table{})
				}
				// Followed, an entry is a line of its own also in JSON, as of watch.
				next := &fleetv1.WatchRequest{InstanceId: args[0], Log: true}
				show := func(change *fleetv1.WatchResponse, _ bool) error {
					e := change.GetLog()
					if e == nil || request.GetProblemsOnly() && e.GetSeverity() < fleetv1.Severity_SEVERITY_WARNING {
						return nil
					}
					return a.showChange(change, nil, true)
				}
				for _, e := range entries {
					if err := show(&fleetv1.WatchResponse{Change: &fleetv1.WatchResponse_Log{Log: e}}, true); err != nil {
						return err
					}
					next.AfterLogSequence = e.GetSequence()
				}
				if len(entries) == 0 && request.GetProblemsOnly() {
					fmt.Fprintf(a.env.Stderr, "No warnings or errors in the log of %s.\n", args[0])
				}
				if !follow {
					return nil
				}
				return a.watch(cmd.Context(), c, next, show)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on with new entries")
	f.Uint32VarP(&request.PageSize, "number", "n", 30, "how many entries, at most 1000")
	f.BoolVar(&request.ProblemsOnly, "problems", false, "only warnings and errors")
	f.Uint64Var(&request.AfterSequence, "after", 0, "entries after this one")
	return cmd
}

// showEntry writes a log entry: one line, and what went wrong below it.
func (a *app) showEntry(e *fleetv1.LogEntry) {
	mark := " "
	switch e.GetSeverity() {
	case fleetv1.Severity_SEVERITY_ERROR:
		mark = "✗"
	case fleetv1.Severity_SEVERITY_WARNING:
		mark = "!"
	}
	summary := e.GetSummary()
	if e.GetInferred() {
		summary += " (inferred)"
	}
	fmt.Fprintf(a.env.Stdout, "%s %s %6d  %-12s %-24s %s\n", mark, e.GetTime().AsTime().Local().Format("15:04:05.000"),
		e.GetSequence(), e.GetOrigin(), printable(e.GetEvent()), printable(summary))
	if a.output == "wide" {
		fmt.Fprintf(a.env.Stdout, "%23s  in %s\n", "", strings.Join(e.GetConfiguration(), " "))
		for _, m := range e.GetMicrosteps() {
			for _, t := range m.GetTransitions() {
				fmt.Fprintf(a.env.Stdout, "%23s  %s\n", "", printable(t))
			}
			for _, t := range m.GetMessages() {
				fmt.Fprintf(a.env.Stdout, "%23s  %s\n", "", printable(t))
			}
		}
		for _, f := range e.GetEffects() {
			fmt.Fprintf(a.env.Stdout, "%23s  %s %s %s %s\n", "", f.GetKind(), f.GetName(), f.GetCommandId(), printable(f.GetDataJson()))
		}
	}
}

func (a *app) logsCommand() *cobra.Command {
	request := &fleetv1.LogsRequest{}
	cmd := &cobra.Command{
		Use:               "logs INSTANCE",
		Short:             "Show what the program in the container wrote",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeInstance,
		RunE: func(cmd *cobra.Command, args []string) error {
			request.InstanceId = args[0]
			return a.withFleet("logs of "+args[0], func(c fleetv1.FleetServiceClient) error {
				stream, err := c.Logs(cmd.Context(), request)
				for err == nil {
					var r *fleetv1.LogsResponse
					if r, err = stream.Recv(); err == nil {
						err = a.copyOutput(r.GetData(), r.GetStderr())
					}
				}
				return ended(cmd.Context(), err)
			})
		},
	}
	cmd.Flags().BoolVarP(&request.Follow, "follow", "f", false, "go on with new lines")
	cmd.Flags().Uint32Var(&request.Tail, "tail", 0, "only this many of the last lines; 0 for all")
	return cmd
}

func (a *app) copyOutput(data []byte, stderr bool) error {
	w := a.env.Stdout
	if stderr {
		w = a.env.Stderr
	}
	_, err := w.Write(data)
	return err
}

func (a *app) attachCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "attach INSTANCE",
		Short:             "Join the standard streams of the program in the container",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeInstance,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.attach(cmd.Context(), args[0]) },
	}
}

// attach copies standard input to the target and its output back until the
// target ends, or ctx. The goroutine that reads standard input ends with the
// input or the process: a blocked read cannot be interrupted.
func (a *app) attach(ctx context.Context, id string) error {
	return a.withFleet("attach to "+id, func(c fleetv1.FleetServiceClient) error {
		stream, err := c.Attach(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&fleetv1.AttachRequest{InstanceId: id}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		go func() {
			buffer := make([]byte, 32<<10)
			for {
				n, err := a.env.Stdin.Read(buffer)
				if n > 0 && stream.Send(&fleetv1.AttachRequest{Data: slices.Clone(buffer[:n])}) != nil {
					return // Recv below has the reason
				}
				if err != nil {
					_ = stream.Send(&fleetv1.AttachRequest{CloseInput: true})
					return
				}
			}
		}()
		for {
			r, err := stream.Recv()
			if err != nil {
				return ended(ctx, err)
			}
			if err := a.copyOutput(r.GetData(), r.GetStderr()); err != nil {
				return err
			}
		}
	})
}
