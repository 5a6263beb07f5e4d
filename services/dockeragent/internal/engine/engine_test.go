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
	"time"

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
	ref := fmt.Sprintf("chartroom-test/probe:%d", time.Now().UnixNano()) // one a test: each removes its own
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

func TestScopedDockerKnowsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	need.Engine(t)
	all, err := engine.NewDocker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = all.Close() })
	mine := all.WithScope(fmt.Sprintf("chartroom.test=scope-%d", os.Getpid()))
	stream, err := mine.Events(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	probe := importProbe(t)
	ids := map[string]string{}
	for name, e := range map[string]engine.Engine{"theirs": all, "mine": mine} {
		id, err := e.Create(t.Context(), engine.Spec{Name: fmt.Sprintf("chartroom-%s-%d", name, os.Getpid()), Image: probe})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Remove(context.Background(), id, true) })
		ids[name] = id
	}
	list, err := mine.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].ID != ids["mine"] {
		t.Errorf("list: got %v, want %s alone", list, ids["mine"])
	}
	if e := <-stream.Events; e.ContainerID != ids["mine"] {
		t.Errorf("event: got %s of %s, want one of %s", e.Action, e.ContainerID, ids["mine"])
	}
}
