// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/chartroom/chartroom/bench/charts"
)

// node is an engine in JavaScript: a process that peer.mjs runs in, asked by
// lines of JSON. It keeps running, so that its compiler has warmed up.
type node struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
}

// install runs npm ci in the folder of the peers unless it has been done for
// this lock file.
func install(ctx context.Context, dir string) error {
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return fmt.Errorf("install peers: %w", err)
	}
	stamp := filepath.Join(dir, "node_modules", ".kernelbench")
	if done, err := os.ReadFile(stamp); err == nil && slices.Equal(done, lock) {
		return nil
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("install peers: npm ci: %w", err)
	}
	return os.WriteFile(stamp, lock, 0o644)
}

func startNode(ctx context.Context, dir, name string) (*node, error) {
	cmd := exec.CommandContext(ctx, "node", "--expose-gc", "peer.mjs", name)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return &node{name, cmd, in, bufio.NewScanner(out)}, nil
}

func (n *node) close() error {
	return errors.Join(n.in.Close(), n.cmd.Wait())
}

type question struct {
	Op     string   `json:"op"`
	Chart  string   `json:"chart"`
	Source string   `json:"source"`
	Events []string `json:"events"`
	Data   any      `json:"data,omitempty"`
	Millis int64    `json:"ms,omitempty"`
	Count  int      `json:"count,omitempty"`
	Steps  int      `json:"steps,omitempty"`
}

type answer struct {
	Error         string   `json:"error"`
	Count         int      `json:"count"`
	CPUMicros     float64  `json:"cpu_us"`
	Bytes         float64  `json:"bytes"`
	Take          float64  `json:"take_us"`
	Restore       float64  `json:"restore_us"`
	Configuration []string `json:"configuration"`
}

func (n *node) ask(c charts.Chart, q question) (answer, error) {
	q.Chart, q.Source, q.Events, q.Data = c.Name, string(c.Source()), c.Events, c.Data
	b, err := json.Marshal(q)
	if err != nil {
		return answer{}, err
	}
	if _, err := n.in.Write(append(b, '\n')); err != nil {
		return answer{}, fmt.Errorf("ask %s: %w", n.name, err)
	}
	if !n.out.Scan() {
		return answer{}, fmt.Errorf("%s has gone away: %w", n.name, errors.Join(n.out.Err(), io.ErrUnexpectedEOF))
	}
	var a answer
	if err := json.Unmarshal(n.out.Bytes(), &a); err != nil {
		return answer{}, fmt.Errorf("answer of %s: %w", n.name, err)
	}
	if a.Error != "" {
		return answer{}, fmt.Errorf("%s on %s: %s", n.name, c.Name, a.Error)
	}
	slices.Sort(a.Configuration)
	return a, nil
}

func (n *node) run(c charts.Chart, d time.Duration) (sample, error) {
	a, err := n.ask(c, question{Op: "run", Millis: d.Milliseconds()})
	if err != nil {
		return sample{}, err
	}
	return sample{perSecond: float64(a.Count) / a.CPUMicros * 1e6, allocs: -1, count: a.Count, where: a.Configuration}, nil
}
