// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/chartroom/chartroom/bench/charts"
)

// goal is a ratio that the kernel is to reach.
type goal struct {
	what, chart, peer string
	value             func(ours, theirs *Row) float64
	least             float64
}

func rate(ours, theirs *Row) float64 { return ours.EventsPerCPU / theirs.EventsPerCPU }

var goals = []goal{
	{"events", "lifecycle", "scion", rate, 20},
	{"events", "lifecycle", "stateless", rate, 2},
	{"events", "parallel4-all", "xstate", rate, 20},
	{"events", "guard", "scion", rate, 20},
	{"snapshot taken", "lifecycle", "scion", func(o, t *Row) float64 { return *t.SnapshotTake / *o.SnapshotTake }, 1},
	{"snapshot restored", "lifecycle", "scion", func(o, t *Row) float64 { return *t.SnapshotRestore / *o.SnapshotRestore }, 50},
	{"bytes a session", "lifecycle", "xstate", func(o, t *Row) float64 { return *t.BytesPer / *o.BytesPer }, 1},
}

// bound is a figure of the kernel that must not be larger.
type bound struct {
	what, chart string
	value       func(*Row) *float64
	most        float64
}

func allocations(r *Row) *float64 { return r.Allocs }

var bounds = []bound{
	{"allocations an event", "toggle", allocations, 0},
	{"allocations an event", "lifecycle", allocations, 0},
	{"allocations an event", "parallel4-one", allocations, 0},
	{"allocations an event", "parallel4-all", allocations, 0},
	{"allocations an event", "guard", allocations, 0},
	{"bytes a session", "lifecycle", func(r *Row) *float64 { return r.BytesPer }, 512},
	{"bytes a snapshot", "lifecycle", func(r *Row) *float64 { return r.SnapshotBytes }, 64},
}

// verdicts says of each goal and bound whether it was reached, a line each.
func verdicts(rows []*Row) []string {
	var out []string
	for _, g := range goals {
		out = append(out, g.line(rows))
	}
	for _, b := range bounds {
		verdict, got := "missed", "not measured"
		if v := b.value(find(rows, b.chart, "chartroom")); v != nil {
			if got = fmt.Sprintf("%.4g", *v); *v <= b.most {
				verdict = "reached"
			}
		}
		out = append(out, fmt.Sprintf("%s, %s: %s, wanted at most %g: %s", b.chart, b.what, got, b.most, verdict))
	}
	return out
}

func find(rows []*Row, chart, engine string) *Row {
	for _, r := range rows {
		if r.Chart == chart && r.Engine == engine {
			return r
		}
	}
	return nil
}

func number(v *float64, format string) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf(format, *v)
}

func header() []string {
	return []string{"chart", "engine", "events/CPU s", "chartroom is", "allocs/event", "bytes/session", "take µs", "restore µs", "snapshot bytes"}
}

func cells(rows []*Row, r *Row) []string {
	ratio := ""
	if o := find(rows, r.Chart, "chartroom"); o != r {
		ratio = fmt.Sprintf("%.1f×", rate(o, r))
	}
	return []string{r.Chart, r.Engine, fmt.Sprintf("%.0f k", r.EventsPerCPU/1000), ratio, number(r.Allocs, "%.2f"), number(r.BytesPer, "%.0f"),
		number(r.SnapshotTake, "%.2f"), number(r.SnapshotRestore, "%.2f"), number(r.SnapshotBytes, "%.0f")}
}

// tables is for a terminal.
func tables(rows []*Row) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, strings.Join(header(), "\t")+"\t")
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(cells(rows, r), "\t")+"\t")
	}
	w.Flush()
	b.WriteByte('\n')
	for _, line := range verdicts(rows) {
		b.WriteString(line + "\n")
	}
	return b.String()
}

func (g goal) line(rows []*Row) string {
	got := g.value(find(rows, g.chart, "chartroom"), find(rows, g.chart, g.peer))
	verdict := "reached"
	if got < g.least {
		verdict = "missed"
	}
	return fmt.Sprintf("%s, %s: %.1f× %s, wanted %g×: %s", g.chart, g.what, got, g.peer, g.least, verdict)
}

// markdown is docs/benchmarks.md.
func markdown(rows []*Row, sizes []*Size, c config, held string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks of the kernel

Written by `+"`make bench`"+`; do not edit. %s, %s on %s/%s with %d processors, Node %s; %d rounds of %s of processor time a turn,
engines taking turns, medians. Events a second of processor time count all threads of a process. The charts are in bench/charts, versions in
bench/go.mod and bench/peers/package.json. "chartroom" runs as the services run it: trace on, effects returned, limits on. looplab and the
switch know no hierarchy: the charts are flattened by hand. goja is the guard and the assignment alone, without a chart. An instance is idle
after its start and %d events; snapshots are taken and restored as text or bytes in memory.

`, strings.TrimSpace(version("uname", "-sr")), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), strings.TrimSpace(version("node", "--version")), c.rounds, c.turn, idleSteps)
	h := header()
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(h, " | "), strings.Repeat("---|---|", 1)+strings.Repeat("---:|", len(h)-2))
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells(rows, r), " | "))
	}
	b.WriteString("\n" + leftOut(engines()) + "\nGoals:\n\n")
	for _, line := range verdicts(rows) {
		b.WriteString("- " + line + "\n")
	}
	if held != "" {
		b.WriteString("\n" + held + "\n")
	}
	b.WriteString("\nReading and compiling a chart, and laying out its drawing, in processor time. Charts of more than some hundred states are drawn without the\n" +
		"layout kernel, which takes more than their square in time.\n\n" + sizeTable(sizes))
	return b.String()
}

// leftOut says which rows the table does not have, and why.
func leftOut(all []engine) string {
	var b strings.Builder
	b.WriteString("Rows that are not there:\n\n")
	for _, e := range all {
		for _, c := range charts.All {
			if why, ok := e.without[c.Name]; ok {
				fmt.Fprintf(&b, "- %s on %s: %s.\n", e.name, c.Name, why)
			}
		}
	}
	return b.String()
}

func version(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return name
	}
	return string(out)
}
