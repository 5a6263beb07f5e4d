// SPDX-License-Identifier: AGPL-3.0-or-later

package process_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/chartroom/chartroom/internal/process"
	"github.com/chartroom/chartroom/internal/transport"
)

// service is a service that ends with an error, or none.
type service struct{ err error }

func (s service) Run(context.Context) error { return s.err }

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		args     []string
		newErr   error
		runErr   error
		wantCode int
		wantSays string
		wantRuns bool
	}{
		{name: "runs", wantRuns: true},
		{name: "help", args: []string{"--help"}, wantSays: "-tls-dir DIR"},
		{name: "no such flag", args: []string{"--nonsense"}, wantCode: 2, wantSays: "-nonsense"},
		{name: "an argument", args: []string{"nonsense"}, wantCode: 2, wantSays: `unexpected argument "nonsense"`},
		{name: "no such level", args: []string{"--log-level", "loud"}, wantCode: 2, wantSays: `log level "loud"`},
		{name: "cannot be made", newErr: errors.New("no store"), wantCode: 1, wantSays: "no store", wantRuns: true},
		{name: "ends with an error", runErr: errors.New("no network"), wantCode: 1, wantSays: `msg="tester ended"`, wantRuns: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var security transport.Security
			var stderr strings.Builder
			environment := map[string]string{"CHARTROOM_TLS_DIR": "/trust"}
			flags := process.NewFlags("tester", &security, func(name string) string { return environment[name] }, &stderr)
			ran := false
			code := flags.Run(t.Context(), test.args, func(*slog.Logger) (process.Service, error) {
				ran = true
				return service{test.runErr}, test.newErr
			})
			if code != test.wantCode || ran != test.wantRuns {
				t.Errorf("got exit code %d, ran %v, want %d and %v", code, ran, test.wantCode, test.wantRuns)
			}
			if !strings.Contains(stderr.String(), test.wantSays) || (test.wantSays == "") != (stderr.String() == "") {
				t.Errorf("it says %q, want %q", stderr.String(), test.wantSays)
			}
			if security.Dir != "/trust" {
				t.Errorf("trusts by %q, want what the environment says", security.Dir)
			}
		})
	}
}
