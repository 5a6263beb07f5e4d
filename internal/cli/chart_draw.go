// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chartroom/chartroom/internal/layout"
	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/diff"
)

// parseFile reads and parses a document.
func (a *app) parseFile(path string) (*scxml.Document, error) {
	b, _, err := a.readFile(path)
	if err != nil {
		return nil, err
	}
	d, err := scxml.Parse(path, b, scxml.Limits{})
	if err != nil {
		return nil, usageError{err}
	}
	return d, nil
}

func (a *app) renderCommand() *cobra.Command {
	out, active := "", []string(nil)
	cmd := &cobra.Command{
		Use:     "render FILE",
		Short:   "Draw a chart as SVG",
		Example: "  chartroom chart render order.scxml -o order.svg\n  chartroom chart render order.scxml --active paid > order.svg",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if ext := filepath.Ext(out); ext != "" && out != "-" && !strings.EqualFold(ext, ".svg") {
				return usagef("only SVG is drawn, and %s would not be one\nDraw %s, and convert that with a program for pictures", out, strings.TrimSuffix(out, ext)+".svg")
			}
			d, err := a.parseFile(args[0])
			if err != nil {
				return err
			}
			for _, id := range active {
				if d.State(id) == nil {
					return usagef("--active: there is no state %q in %s", id, args[0])
				}
			}
			drawing, err := layout.Draw(cmd.Context(), d)
			if err != nil {
				return err
			}
			svg := layout.SVG(drawing, active)
			if out == "" || out == "-" {
				_, err = a.env.Stdout.Write(svg)
				return err
			}
			return os.WriteFile(out, svg, 0o644)
		},
	}
	// Here -o names the file, as it does for programs that draw.
	cmd.Flags().StringVarP(&out, "output", "o", "", "SVG file to write; empty for standard output")
	cmd.Flags().StringSliceVar(&active, "active", nil, "states to light as active")
	return cmd
}

func (a *app) diffCommand() *cobra.Command {
	code := false
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Tell in words how two charts differ",
		Long: "Tell which states and transitions were added (+), removed (-) and changed (~). Layout, comments and the order of\n" +
			"attributes do not count. Charts that are the same give no output.",
		Example: "  chartroom chart diff charts/container.scxml mine.scxml",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			old, err := a.parseFile(args[0])
			if err != nil {
				return err
			}
			now, err := a.parseFile(args[1])
			if err != nil {
				return err
			}
			changes := diff.Documents(old, now)
			return printLines(a, "changes", changes, code && len(changes) > 0)
		},
	}
	cmd.Flags().BoolVar(&code, "exit-code", false, "exit code 8 when the charts differ")
	return cmd
}
