// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// makeFlags are those of create and run.
type makeFlags struct {
	id, name, chart, host, data, request, network string
	environment, labels, mounts                   []string
	attach, noWait                                bool
}

func (f *makeFlags) register(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&f.name, "name", "", "name of the instance and its container; empty lets the server choose")
	s.StringVar(&f.id, "id", "", "id of a free instance; the same as --name")
	s.StringVar(&f.chart, "chart", "", "chart that supervises the container (container), or the chart of a free instance")
	s.StringVar(&f.host, "host", "", "host to make the container on; may be left out when there is one")
	s.StringVar(&f.data, "data", "", "initial values of a free instance's datamodel, a JSON object")
	s.StringVar(&f.request, "request-id", "", "repeating it within 24 h is answered with the first answer")
	s.StringVar(&f.network, "network", "", "network mode of the container")
	s.StringArrayVarP(&f.environment, "env", "e", nil, "NAME=VALUE in the container's environment")
	s.StringArrayVarP(&f.labels, "label", "l", nil, "NAME=VALUE as a label of the container")
	s.StringArrayVarP(&f.mounts, "volume", "v", nil, "SOURCE:/path; a source without a slash is a volume")
	s.BoolVar(&f.noWait, "no-wait", false, "do not wait until the engine has done or refused it")
	// What follows the image belongs to the container.
	s.SetInterspersed(false)
}

func (a *app) createCommand() *cobra.Command {
	f := &makeFlags{}
	cmd := &cobra.Command{
		Use:   "create [flags] {IMAGE [ARGUMENT...] | --chart CHART}",
		Short: "Make an instance without starting it: a container, or a chart by itself",
		Long: "Make an instance without starting it, and print its id. Of a container, wait for at most 30 s until it is there;\n" +
			"exit 1 with the cause when the engine refuses it.",
		Example: "  chartroom create --name web -l chartroom.snapshot=file:/state/web.json my/web\n" +
			"  chartroom create --chart order --id 42",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return a.create(cmd, f, args, false) },
	}
	f.register(cmd)
	_ = cmd.RegisterFlagCompletionFunc("chart", a.completeCharts)
	return cmd
}

func (a *app) runCommand() *cobra.Command {
	f := &makeFlags{}
	cmd := &cobra.Command{
		Use:   "run [flags] {IMAGE [ARGUMENT...] | FILE.scxml | --chart CHART}",
		Short: "Make and start an instance: a container from an image, or a chart by itself",
		Long: "Make and start an instance, and print its id. With an image that is a container on a host; what follows the\n" +
			"image are its arguments; the command waits for at most 30 s until it has been started, and exits 1 with the cause\n" +
			"when the engine refuses that. With a file that ends in .scxml the chart is pushed and runs by itself.\n" +
			"The image chartroom/scxml, which runs a chart as an application, is made by make images.",
		Example: "  chartroom run --name hello -e CHARTROOM_SOCKET=/run/chartroom/hello.sock -v chartroom-run:/run/chartroom chartroom/scxml\n" +
			"  chartroom run order.scxml --id 42",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return a.create(cmd, f, args, true) },
	}
	f.register(cmd)
	_ = cmd.RegisterFlagCompletionFunc("chart", a.completeCharts)
	cmd.Flags().BoolVarP(&f.attach, "attach", "a", false, "join the container's standard streams")
	return cmd
}

// create makes an instance of what args say.
func (a *app) create(cmd *cobra.Command, f *makeFlags, args []string, start bool) error {
	request := &fleetv1.CreateInstanceRequest{
		Name: or(f.name, f.id), Chart: f.chart, HostId: f.host, RequestId: f.request, Start: start,
	}
	file := ""
	switch {
	case len(args) > 0 && strings.HasSuffix(args[0], ".scxml"):
		file = args[0]
		// Flags after the file are ours too: a chart takes no arguments.
		if err := cmd.Flags().Parse(args[1:]); err != nil {
			return usageError{err}
		}
		if rest := cmd.Flags().Args(); len(rest) > 0 {
			return usagef("a chart takes no arguments, got %q\nInitial values: --data '{\"name\": \"value\"}'", rest)
		}
		request.Name = or(f.name, f.id)
	case len(args) == 0 && f.chart == "":
		return usagef("name an image, or a chart with --chart\nUsage: %s", cmd.UseLine())
	case len(args) > 0 && (strings.HasPrefix(args[0], "/") || strings.HasPrefix(args[0], ".")):
		// No reference of an image begins so.
		return usagef("%s is a path, and names no image\nA chart by itself is a file that ends in .scxml; an image is named as for docker run", args[0])
	case len(args) > 0:
		spec, err := f.container(args)
		if err != nil {
			return err
		}
		request.Container = spec
	}
	if f.data != "" {
		request.Data = &structpb.Struct{}
		if err := request.Data.UnmarshalJSON([]byte(f.data)); err != nil {
			return usagef("--data is not a JSON object: %w", err)
		}
	}
	ctx, cancel := withTimeout(cmd.Context())
	defer cancel()
	what := strings.TrimSpace(cmd.Name() + " " + strings.Join(args[:min(1, len(args))], ""))
	var made *fleetv1.Instance
	err := a.withFleet(what, func(c fleetv1.FleetServiceClient) error {
		if file != "" {
			chart, err := a.pushFile(ctx, c, file, f.chart, false)
			if err != nil {
				return err
			}
			request.Chart = chart.GetChart().GetName()
		}
		r, err := c.CreateInstance(ctx, request)
		made = r.GetInstance()
		return about(request.GetName(), err)
	})
	if err != nil {
		return err
	}
	printed, err := a.printOne(made)
	if !printed {
		fmt.Fprintln(a.env.Stdout, made.GetInstanceId())
	}
	if err == nil && request.GetContainer() != nil && !f.noWait {
		err = a.withFleet(what, func(c fleetv1.FleetServiceClient) error {
			return a.settle(cmd.Context(), c, made, start)
		})
	}
	if err == nil && f.attach && !printed {
		err = a.attach(cmd.Context(), made.GetInstanceId())
	}
	return err
}

// container is the specification that the flags and arguments make.
func (f *makeFlags) container(args []string) (*fleetv1.ContainerSpec, error) {
	spec := &fleetv1.ContainerSpec{Image: args[0], Command: args[1:], Environment: f.environment, Mounts: f.mounts, Network: f.network}
	for _, l := range f.labels {
		name, value, ok := strings.Cut(l, "=")
		if !ok || name == "" {
			return nil, usagef("--label %q is not NAME=VALUE", l)
		}
		if spec.Labels == nil {
			spec.Labels = map[string]string{}
		}
		spec.Labels[name] = value
	}
	for _, e := range f.environment {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return nil, usagef("--env %q is not NAME=VALUE", e)
		}
	}
	return spec, nil
}

func (a *app) chartCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "chart", Aliases: []string{"charts"}, Short: "Write, test, push and read charts"}
	get := &cobra.Command{
		Use:               "get NAME [DIGEST]",
		Short:             "Write the document of a chart to standard output",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeCharts,
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &fleetv1.GetChartRequest{Name: args[0]}
			ctx, cancel := withTimeout(cmd.Context())
			defer cancel()
			return a.withFleet("get chart "+args[0], func(c fleetv1.FleetServiceClient) (err error) {
				if len(args) == 2 {
					if request.Digest, err = digestOf(ctx, c, args[0], args[1]); err != nil {
						return err
					}
				}
				r, err := c.GetChart(ctx, request)
				if err != nil {
					return err
				}
				if done, err := a.printOne(r.GetChart()); done {
					return err
				}
				_, err = io.WriteString(a.env.Stdout, r.GetChart().GetDocument())
				return err
			})
		},
	}
	cmd.AddCommand(a.lintCommand(), hasOwnForm(a.tryCommand(), "writes a line of JSON a macrostep"), a.suiteCommand(), a.renderCommand(), a.diffCommand(), a.pushCommand(), a.chartListCommand(), get)
	return cmd
}

// digestOf is the digest of a version of a chart that begins as the text does: lists
// show the beginning.
func digestOf(ctx context.Context, c fleetv1.FleetServiceClient, name, beginning string) (string, error) {
	r, err := c.ListCharts(ctx, &fleetv1.ListChartsRequest{})
	if err != nil {
		return "", err
	}
	digest := beginning
	for _, chart := range r.GetCharts() {
		if chart.GetName() != name || !strings.HasPrefix(chart.GetDigest(), beginning) {
			continue
		}
		if digest != beginning {
			return "", usagef("several versions of %s begin with %s: give more of the digest", name, beginning)
		}
		digest = chart.GetDigest()
	}
	return digest, nil
}

func (a *app) chartListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List charts",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := withTimeout(cmd.Context())
			defer cancel()
			var charts []*fleetv1.Chart
			err := a.withFleet("list charts", func(c fleetv1.FleetServiceClient) error {
				r, err := c.ListCharts(ctx, &fleetv1.ListChartsRequest{})
				charts = r.GetCharts()
				return err
			})
			if err != nil {
				return err
			}
			t := table{columns: []string{"NAME", "DIGEST", "STATES", "PUSHED"}}
			list := make([]proto.Message, 0, len(charts))
			for _, c := range charts {
				list = append(list, c)
				pushed := "built in"
				if c.GetCreateTime() != nil {
					pushed = c.GetCreateTime().AsTime().Local().Format("2006-01-02 15:04:05")
				}
				t.add(c.GetName(), short(strings.TrimPrefix(c.GetDigest(), "sha256:")), fmt.Sprint(c.GetStates()), pushed)
			}
			return a.print("charts", list, t)
		},
	}
}

// messages gives a list of one type as the list that print takes.
func messages[M proto.Message](list iter.Seq[M]) []proto.Message {
	var out []proto.Message
	for m := range list {
		out = append(out, m)
	}
	return out
}
