// SPDX-License-Identifier: AGPL-3.0-or-later

package engine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/chartroom/chartroom/internal/need"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
	"github.com/chartroom/chartroom/services/dockeragent/internal/engine/enginetest"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

func TestFakeConforms(t *testing.T) {
	t.Parallel()
	f := engine.NewFake()
	f.SetImages("probe:1")
	enginetest.Run(t, enginetest.Subject{Engine: f, Image: "probe:1", Mount: "chartroom-run:/run/chartroom", HostKill: f.HostKill})
}

func TestDockerConforms(t *testing.T) {
	t.Parallel()
	need.Engine(t)
	d, err := engine.NewDocker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	dir, err := os.MkdirTemp("", "chartroom-engine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	// The subtests are parallel: a group makes the cleanups wait for them.
	t.Run("engine", func(t *testing.T) {
		enginetest.Run(t, enginetest.Subject{
			Engine: d, Image: importProbe(t), Mount: dir + ":/run/chartroom",
			HostKill: func(id string) error {
				c, err := d.Inspect(context.Background(), id)
				if err != nil {
					return err
				}
				return syscall.Kill(c.State.Pid, syscall.SIGKILL)
			},
		})
	})
}

// importProbe builds the test's program and makes an image of it alone, which
// needs no registry.
func importProbe(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "probe")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./enginetest/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the probe: %v\n%s", err, out)
	}
	body, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "probe", Mode: 0o755, Size: int64(len(body))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	cli, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	defer cli.Close()
	ref := fmt.Sprintf("chartroom-test/probe:%d", os.Getpid())
	r, err := cli.ImageImport(t.Context(), image.ImportSource{Source: &b, SourceName: "-"}, ref,
		image.ImportOptions{Changes: []string{`ENTRYPOINT []`, `CMD ["/probe","run"]`, `LABEL chartroom.test=engine`}})
	if err != nil {
		t.Fatalf("import the probe: %v", err)
	}
	_, _ = io.Copy(io.Discard, r)
	_ = r.Close()
	t.Cleanup(func() {
		cli, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
		if err == nil {
			_, _ = cli.ImageRemove(context.Background(), ref, image.RemoveOptions{})
			_ = cli.Close()
		}
	})
	return ref
}
