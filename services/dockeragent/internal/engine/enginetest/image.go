// SPDX-License-Identifier: AGPL-3.0-or-later

package enginetest

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"github.com/chartroom/chartroom/internal/need"
)

// Image builds the program probe and makes an image of it alone, which needs no
// registry; it is removed with the test. Needs the engine of DOCKER_HOST.
func Image(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "probe")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "github.com/chartroom/chartroom/services/dockeragent/internal/engine/enginetest/probe")
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
	ref := fmt.Sprintf("chartroom-test/probe:%d-%d", os.Getpid(), serial.Add(1)) // one a test: each removes its own
	r, err := cli.ImageImport(t.Context(), image.ImportSource{Source: &b, SourceName: "-"}, ref,
		image.ImportOptions{Changes: []string{`ENTRYPOINT []`, `CMD ["/probe","run"]`, "LABEL " + need.Label + "=" + need.Run()}})
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
