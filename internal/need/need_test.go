// SPDX-License-Identifier: AGPL-3.0-or-later

package need_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/chartroom/chartroom/internal/need"
)

// recorder stands in for a test and remembers how it was ended.
type recorder struct {
	testing.TB
	failed, skipped string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Fatalf(f string, a ...any) { r.failed = fmt.Sprintf(f, a...) }
func (r *recorder) Skipf(f string, a ...any)  { r.skipped = fmt.Sprintf(f, a...) }

// Not parallel: it sets an environment variable.
func TestMissingFailsOnlyWhatIsRequired(t *testing.T) {
	t.Setenv("CHARTROOM_REQUIRE", "engine,browser")
	var r recorder
	need.Missing(&r, "redis", "not installed")
	if r.failed != "" || r.skipped != "needs redis: not installed" {
		t.Errorf("redis is not required: failed %q, skipped %q", r.failed, r.skipped)
	}
	r = recorder{}
	need.Missing(&r, "browser", "not installed")
	if r.failed == "" || r.skipped != "" {
		t.Errorf("a browser is required: failed %q, skipped %q", r.failed, r.skipped)
	}
}

func TestRedisAnswers(t *testing.T) {
	t.Parallel()
	c, err := net.Dial("unix", need.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprint(c, "PING\r\n"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 7)
	if _, err := c.Read(buf); err != nil || string(buf) != "+PONG\r\n" {
		t.Errorf("PING: got %q, %v", buf, err)
	}
}
