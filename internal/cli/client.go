// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/chartroom/chartroom/internal/transport"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// security is what the client trusts the server by.
func (a *app) security() transport.Security { return transport.Security{Dir: a.tlsDir} }

// connect makes a connection to the server; call the function to close it.
func (a *app) connect(address string) (*grpc.ClientConn, func(), error) {
	if _, _, err := net.SplitHostPort(address); err != nil && !strings.HasPrefix(address, "unix:") {
		return nil, nil, usagef("the address %q is not HOST:PORT", address)
	}
	conn, err := transport.Dial(address, a.security())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, codeError{Failed, fmt.Errorf("%w\nMake the directory with: chartroom init DIR", err)}
	}
	if err != nil {
		return nil, nil, err
	}
	return conn, func() { _ = conn.Close() }, nil
}

// withFleet runs f with a client of the public API. Errors say what was asked.
func (a *app) withFleet(what string, f func(fleetv1.FleetServiceClient) error) error {
	conn, done, err := a.connect(a.server)
	if err != nil {
		return err
	}
	defer done()
	if err := f(fleetv1.NewFleetServiceClient(conn)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// ended turns the regular end of a stream into nil: its own, and that of the
// person who interrupts it. The server may see the deadline pass a moment before ctx does.
func ended(ctx context.Context, err error) error {
	if errors.Is(err, io.EOF) || ctx.Err() != nil || status.Code(err) == codes.DeadlineExceeded {
		return nil
	}
	return err
}

// healthCommand asks a service whether it serves.
func (a *app) healthCommand() *cobra.Command {
	timeout := 3 * time.Second
	cmd := &cobra.Command{
		Use:   "health [ADDRESS]",
		Short: "Ask a service whether it serves (exit 0), else exit 6",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			address := a.server
			if len(args) > 0 {
				address = args[0]
			}
			conn, done, err := a.connect(address)
			if err != nil {
				return err
			}
			defer done()
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			r, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(false))
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return codeError{Unreachable, fmt.Errorf("health of %s: no answer within %s", address, timeout)}
			}
			if err != nil {
				return codeError{Unreachable, fmt.Errorf("health of %s: %w", address, err)}
			}
			state := strings.ToLower(r.GetStatus().String())
			if r.GetStatus() != healthv1.HealthCheckResponse_SERVING {
				return codeError{Unreachable, fmt.Errorf("health of %s: %s%s", address, state, transport.ForWant(ctx, conn))}
			}
			if done, err := a.printOne(r); done {
				return err
			}
			fmt.Fprintln(a.env.Stdout, state)
			return nil
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "how long to wait for the answer")
	return cmd
}

// completeInstances offers the ids of instances that are there, for commands
// that take any number of them.
func (a *app) completeInstances(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.offer(cmd, func(ctx context.Context, c fleetv1.FleetServiceClient) (ids []string, err error) {
		r, err := c.ListInstances(ctx, &fleetv1.ListInstancesRequest{Query: prefix, PageSize: 100})
		for _, i := range r.GetInstances() {
			if !slices.Contains(args, i.GetInstanceId()) {
				ids = append(ids, i.GetInstanceId())
			}
		}
		return ids, err
	})
}

// completeInstance is the same for commands that take one, first.
func (a *app) completeInstance(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeInstances(cmd, args, prefix)
}

// completeSnapshots offers an instance, then numbers of its snapshots.
func (a *app) completeSnapshots(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.completeInstances(cmd, args, prefix)
	}
	return a.offer(cmd, func(ctx context.Context, c fleetv1.FleetServiceClient) (numbers []string, err error) {
		r, err := c.GetInstance(ctx, &fleetv1.GetInstanceRequest{InstanceId: args[0]})
		for _, s := range r.GetInstance().GetSnapshots() {
			numbers = append(numbers, fmt.Sprint(s.GetNumber()))
		}
		return numbers, err
	})
}

// completeCharts offers the names of charts.
func (a *app) completeCharts(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.offer(cmd, func(ctx context.Context, c fleetv1.FleetServiceClient) (names []string, err error) {
		r, err := c.ListCharts(ctx, &fleetv1.ListChartsRequest{})
		for _, chart := range r.GetCharts() {
			if !slices.Contains(names, chart.GetName()) {
				names = append(names, chart.GetName())
			}
		}
		return names, err
	})
}

// offer asks the server for what can be completed, for a short time; a server
// that does not answer offers nothing.
func (a *app) offer(cmd *cobra.Command, ask func(context.Context, fleetv1.FleetServiceClient) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	var words []string
	_ = a.withFleet("complete", func(c fleetv1.FleetServiceClient) (err error) {
		words, err = ask(ctx, c)
		return err
	})
	return words, cobra.ShellCompDirectiveNoFileComp
}
