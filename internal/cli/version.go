// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chartroom/chartroom/internal/version"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// built tells of a build, a line each.
func built(b version.Build) string {
	revision := dash(b.Revision)
	if b.Modified {
		revision += ", and what was not committed"
	}
	var w strings.Builder
	for _, line := range [][2]string{{"chartroom", b.Version}, {"kernel", b.Kernel}, {"go", b.Go + " " + b.Platform}, {"revision", revision}} {
		fmt.Fprintf(&w, "%-10s %s\n", line[0], line[1])
	}
	return w.String()
}

// versionPatience is how long the server has to say its version.
const versionPatience = 3 * time.Second

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Tell what this program was built from, and the version of the server",
		Long: "Tell the version of this program and of the kernel in it (which is in every log entry), the compiler and the\n" +
			"commit; and the version of the server, if it answers. chartroom doctor compares all programs of a fleet.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), versionPatience)
			defer cancel()
			this, server := version.This(), ""
			const what = "ask for the version"
			err := a.withFleet(what, func(c fleetv1.FleetServiceClient) error {
				r, err := c.ListHosts(ctx, &fleetv1.ListHostsRequest{})
				server = r.GetServerVersion()
				return err
			})
			if a.output == "json" || a.output == "yaml" {
				// A server that does not answer has none.
				return a.encodeAny(struct {
					version.Build
					Server string `json:"server"`
				}{this, server})
			}
			if err != nil {
				server, _, _ = strings.Cut(strings.TrimPrefix(explain(err), what+": "), "\n")
			}
			fmt.Fprintf(a.env.Stdout, "%s%-10s %s (%s)\n", built(this), "server", dash(server), a.server)
			return nil
		},
	}
}
