// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/chartroom/chartroom/internal/chartwork"
	"github.com/chartroom/chartroom/internal/sandbox"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"github.com/chartroom/chartroom/scxml/lint"
)

func (a *app) pushCommand() *cobra.Command {
	name, force := "", false
	cmd := &cobra.Command{
		Use:   "push FILE",
		Short: "Check a chart and store it; - reads standard input",
		Long: "Check an SCXML document as chart lint does and store it under its file's name. A bad one is refused with line and\n" +
			"column, and nothing is stored; with --force what lint finds is shown, and the chart is stored if it can be read.\n" +
			"Instances that run keep the version that they have.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := withTimeout(cmd.Context())
			defer cancel()
			return a.withFleet("push "+args[0], func(c fleetv1.FleetServiceClient) error {
				r, err := a.pushFile(ctx, c, args[0], name, force)
				if err != nil {
					return err
				}
				if done, err := a.printOne(r); done {
					return err
				}
				verb := "stored"
				if !r.GetCreated() {
					verb = "was there already"
				}
				fmt.Fprintf(a.env.Stdout, "%s %s: %s\n", r.GetChart().GetName(), short(r.GetChart().GetDigest()), verb)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name to store it under; empty for the file's without .scxml")
	cmd.Flags().BoolVar(&force, "force", false, "store it whatever chart lint finds")
	return cmd
}

// pushFile checks the document in a file and stores it under name, or under the
// file's name.
func (a *app) pushFile(ctx context.Context, c fleetv1.FleetServiceClient, path, name string, force bool) (*fleetv1.PushChartResponse, error) {
	if path == "-" && name == "" {
		return nil, usagef("a chart from standard input needs --name")
	}
	document, _, err := a.readFile(path)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(document) {
		return nil, usagef("it is not UTF-8: save the chart in that encoding")
	}
	if err := a.checkPushed(ctx, path, document, force); err != nil {
		return nil, err
	}
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	return c.PushChart(ctx, &fleetv1.PushChartRequest{Name: name, Document: string(document), Force: force})
}

// checkPushed shows all that lint finds in a document, and refuses one that cannot
// work unless it is forced; the server would, and tells only the first. What cannot be
// read at all is left to it.
func (a *app) checkPushed(ctx context.Context, path string, document []byte, force bool) error {
	work := sandbox.New(sandbox.Config{})
	defer work.Close()
	var found []lint.Finding
	// Without a folder: the fleet loads no src, either.
	err := work.Call(ctx, chartwork.OpLint, chartwork.LintRequest{Name: path, Document: document}, &found)
	if errors.Is(err, sandbox.ErrBroken) {
		return nil // The server allows less than this process does.
	}
	if err != nil {
		return fmt.Errorf("lint: %w", err)
	}
	var lines []string
	broken := false
	for _, f := range found {
		if f.Rule == lint.RuleSyntax {
			return nil
		}
		lines = append(lines, printable(f.String()))
		broken = broken || chartwork.Prevents(f)
	}
	text := strings.Join(lines, "\n")
	switch {
	case broken && !force:
		return usagef("the chart cannot work as it is written\n%s\nMend it, or store it all the same: chartroom chart push --force %s", text, path)
	case text != "":
		fmt.Fprintln(a.env.Stderr, text)
	}
	return nil
}
