// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// benchCommand measures. The other engines are dependencies that this program
// must not have (docs/decisions/0005): a program beside it does the work.
func (a *app) benchCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "bench", Short: "Measure"}
	var asJSON bool
	var rounds int
	var turn time.Duration
	kernel := &cobra.Command{
		Use:   "kernel",
		Short: "Measure the kernel beside other statechart engines",
		Long: "Runs kernelbench: the kernel beside looplab/fsm, qmuntal/stateless, a switch, goja, SCION and XState on the\n" +
			"same charts, taking turns. It is looked for beside this program and on the PATH; in a clone of the repository\n" +
			"it is built when needed. It needs node, and npm the first time.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			args := []string{"-rounds", strconv.Itoa(rounds), "-turn", turn.String()}
			if asJSON || a.output == "json" {
				args = append(args, "-json")
			}
			return a.kernelBench(cmd.Context(), args)
		},
	}
	kernel.Flags().BoolVar(&asJSON, "json", false, `print {"rows": […]}`)
	kernel.Flags().IntVar(&rounds, "rounds", 7, "interleaved rounds; medians are printed")
	kernel.Flags().DurationVar(&turn, "turn", 300*time.Millisecond, "processor time of a turn")
	cmd.AddCommand(kernel)
	return cmd
}

func (a *app) kernelBench(ctx context.Context, args []string) error {
	name, first, dir, err := findKernelBench()
	if err != nil {
		return err
	}
	run := exec.CommandContext(ctx, name, append(first, args...)...)
	run.Dir, run.Stdin, run.Stdout, run.Stderr = dir, a.env.Stdin, a.env.Stdout, a.env.Stderr
	if err := run.Run(); err != nil {
		return fmt.Errorf("bench kernel: %s: %w", filepath.Base(name), err)
	}
	return nil
}

// findKernelBench gives the program, what comes before its arguments, and the
// folder to run it in.
func findKernelBench() (name string, first []string, dir string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, "", fmt.Errorf("bench kernel: %w", err)
	}
	if resolved, err := filepath.EvalSymlinks(self); err == nil {
		self = resolved
	}
	clone := cloneAbove(filepath.Dir(self))
	if clone == "" {
		if here, err := os.Getwd(); err == nil {
			clone = cloneAbove(here)
		}
	}
	beside := filepath.Join(filepath.Dir(self), "kernelbench")
	if _, err := os.Stat(beside); err == nil && clone != "" {
		return beside, nil, clone, nil
	}
	if clone != "" {
		if found, err := exec.LookPath("go"); err == nil {
			return found, []string{"run", "./bench/cmd/kernelbench"}, clone, nil
		}
	}
	if found, err := exec.LookPath("kernelbench"); err == nil {
		return found, nil, clone, nil
	}
	return "", nil, "", errors.New("bench kernel: there is no kernelbench beside this program or on the PATH, " +
		"and this is no clone of the repository with go installed\nIn a clone, run: make bench")
}

// cloneAbove looks for the repository from dir upwards; empty if there is none.
func cloneAbove(dir string) string {
	for {
		if _, err := os.Stat(filepath.Join(dir, "bench", "cmd", "kernelbench", "main.go")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}
