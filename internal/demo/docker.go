// SPDX-License-Identifier: AGPL-3.0-or-later

package demo

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// docker is the engine seen from outside, through its own command line: a
// witness must not be the code that it testifies about.
type docker struct {
	label string // what everything of this demonstration carries
}

// run calls docker and gives its output without the last newline.
func (d docker) run(ctx context.Context, args ...string) (string, error) {
	return d.feed(ctx, nil, args...)
}

func (d docker) feed(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", args...)
	var out, fault bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &fault
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return "", errors.New("the docker command is not installed; on Debian: apt-get install docker.io")
		}
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(fault.String()))
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

// lines are the lines of an output; none for an empty one.
func lines(out string) []string {
	if out == "" {
		return nil
	}
	return strings.Split(out, "\n")
}

// buildImage makes an image of one static program.
func (d docker) buildImage(ctx context.Context, name, program string) error {
	body, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("%w\nBuild it with: make build", err)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	base := "/" + filepath.Base(program)
	if err := w.WriteHeader(&tar.Header{Name: base[1:], Mode: 0o755, Size: int64(len(body))}); err != nil {
		return fmt.Errorf("pack %s: %w", program, err)
	}
	if _, err := w.Write(body); err != nil {
		return fmt.Errorf("pack %s: %w", program, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("pack %s: %w", program, err)
	}
	_, err = d.feed(ctx, &archive, "import", "--change", `ENTRYPOINT ["`+base+`"]`, "--change", "LABEL "+d.label, "-", name)
	return err
}

// container is what inspect says of one.
type container struct {
	ID    string `json:"Id"`
	State struct {
		Running   bool
		Pid       int
		StartedAt time.Time
		ExitCode  int
	}
	Config struct{ Labels map[string]string }
}

func (d docker) inspect(ctx context.Context, name string) (container, error) {
	out, err := d.run(ctx, "inspect", "--type", "container", name)
	if err != nil {
		return container{}, err
	}
	var list []container
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
		return container{}, fmt.Errorf("inspect %s: cannot read %q (%w)", name, out, err)
	}
	return list[0], nil
}

// logLine is a line of a container's output with the engine's time.
type logLine struct {
	at   time.Time
	text string
}

// logs reads all output of all runs of a container.
func (d docker) logs(ctx context.Context, name string) ([]logLine, error) {
	out, err := d.run(ctx, "logs", "--timestamps", name)
	if err != nil {
		return nil, err
	}
	var all []logLine
	for _, l := range lines(out) {
		stamp, text, _ := strings.Cut(l, " ")
		if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
			all = append(all, logLine{at, text})
		}
	}
	return all, nil
}

// engineEvent is one of docker events.
type engineEvent struct {
	Type, Action string
	Actor        struct {
		ID         string
		Attributes map[string]string
	}
	TimeNano int64 `json:"timeNano"`
}

// events reads what the engine remembers of ours since a time.
func (d docker) events(ctx context.Context, since time.Time) ([]engineEvent, error) {
	stamp := func(t time.Time) string {
		return strconv.FormatInt(t.Unix(), 10) + "." + fmt.Sprintf("%09d", t.Nanosecond())
	}
	out, err := d.run(ctx, "events", "--since", stamp(since), "--until", stamp(time.Now()),
		"--filter", "type=container", "--filter", "label="+d.label, "--format", "{{json .}}")
	if err != nil {
		return nil, err
	}
	var all []engineEvent
	for _, l := range lines(out) {
		var e engineEvent
		if err := json.Unmarshal([]byte(l), &e); err != nil {
			return nil, fmt.Errorf("read engine event %q: %w", l, err)
		}
		all = append(all, e)
	}
	return all, nil
}

// cleanUp removes all containers and volumes with the label, and nothing else.
func (d docker) cleanUp(ctx context.Context) error {
	var errs []error
	for _, kind := range []struct{ list, remove []string }{
		{[]string{"ps", "-aq", "--no-trunc", "--filter", "label=" + d.label}, []string{"rm", "-f", "-v"}},
		{[]string{"volume", "ls", "-q", "--filter", "label=" + d.label}, []string{"volume", "rm", "-f"}},
	} {
		out, err := d.run(ctx, kind.list...)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, id := range lines(out) {
			if _, err := d.run(ctx, append(kind.remove, id)...); err != nil && !strings.Contains(err.Error(), "No such") {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
