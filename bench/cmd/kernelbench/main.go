// SPDX-License-Identifier: AGPL-3.0-or-later

// Command kernelbench measures the kernel beside other engines on the same
// charts (bench/charts), in one run: rounds in which each engine has its turn,
// medians of them, and after each turn a comparison of where the chart stands.
// Then it compiles and draws charts of growing size.
// It prints tables, or with -json {"rows": […], "sizes": […]}, and writes docs/benchmarks.md
// with -write. An engine that is missing, or that ends elsewhere, is a failure.
//
// Figures are of processor time, as the operating system counts it for the whole
// process, garbage collector and compiler threads included.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/chartroom/chartroom/bench/charts"
)

// Row is a row of the table. What was not measured is null.
type Row struct {
	Chart           string   `json:"chart"`
	Engine          string   `json:"engine"`
	EventsPerCPU    float64  `json:"events_per_cpu_s"`
	Allocs          *float64 `json:"allocs_per_event"`
	BytesPer        *float64 `json:"bytes_per_instance"`
	SnapshotTake    *float64 `json:"snapshot_take_us"`
	SnapshotRestore *float64 `json:"snapshot_restore_us"`
	SnapshotBytes   *float64 `json:"snapshot_bytes"`
}

type config struct {
	rounds  int
	turn    time.Duration
	peers   string
	asJSON  bool
	write   string
	million bool
}

func main() {
	var c config
	flag.IntVar(&c.rounds, "rounds", 7, "interleaved `rounds`; medians are printed")
	flag.DurationVar(&c.turn, "turn", 300*time.Millisecond, "processor `time` of a turn")
	flag.StringVar(&c.peers, "peers", "", "`folder` of package.json and peer.mjs; found from the working directory if empty")
	flag.BoolVar(&c.asJSON, "json", false, "print JSON")
	flag.StringVar(&c.write, "write", "", "also write the tables to this `file`, in Markdown")
	flag.BoolVar(&c.million, "million", false, "also hold a million sessions and print the resident size")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "kernelbench:", err)
		os.Exit(1)
	}
}

// findPeers looks for bench/peers from the working directory upwards.
func findPeers() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		for _, p := range []string{"peers", filepath.Join("bench", "peers")} {
			if _, err := os.Stat(filepath.Join(dir, p, "peer.mjs")); err == nil {
				return filepath.Join(dir, p), nil
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("find peers: no bench/peers above the working directory; name it with -peers")
		}
		dir = parent
	}
}

// contender is an engine with what its turns gave.
type contender struct {
	name   string
	charts []string
	run    func(charts.Chart, time.Duration) (sample, error)
}

// engines are those that run in this process, ours first.
func engines() []engine {
	return []engine{ours("chartroom", false), ours("chartroom-notrace", true), looplab, statelessEngine, switched, gojaEngine}
}

func run(ctx context.Context, c config) error {
	if c.peers == "" {
		dir, err := findPeers()
		if err != nil {
			return err
		}
		c.peers = dir
	}
	if err := install(ctx, c.peers); err != nil {
		return err
	}
	inGo := engines()
	var all []contender
	for _, e := range inGo {
		all = append(all, contender{e.name, e.charts, e.run})
	}
	nodes := map[string]*node{}
	for _, name := range []string{"scion", "xstate"} {
		n, err := startNode(ctx, c.peers, name)
		if err != nil {
			return err
		}
		defer n.close()
		nodes[name] = n
		all = append(all, contender{name, everyChart, n.run})
	}
	var rows []*Row
	for _, chart := range charts.All {
		of, err := race(ctx, c, chart, all, inGo[0])
		if err != nil {
			return err
		}
		rows = append(rows, of...)
	}
	if err := measureSessions(rows, inGo, nodes); err != nil {
		return err
	}
	var held string
	if c.million {
		var err error
		if held, err = million(inGo[0]); err != nil {
			return err
		}
	}
	sizes, err := measureSizes(ctx, c.rounds, c.turn)
	if err != nil {
		return err
	}
	if c.write != "" {
		if err := os.WriteFile(c.write, []byte(markdown(rows, sizes, c, held)), 0o644); err != nil {
			return fmt.Errorf("write the tables: %w", err)
		}
	}
	if c.asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"rows": rows, "sizes": sizes})
	}
	fmt.Print(tables(rows) + "\n" + sizeTable(sizes))
	if held != "" {
		fmt.Println(held)
	}
	return nil
}

// race gives every engine its turn, round by round.
func race(ctx context.Context, c config, chart charts.Chart, all []contender, reference engine) ([]*Row, error) {
	rates, allocs := map[string][]float64{}, map[string][]float64{}
	// The first round warms up and is not counted.
	for round := range c.rounds + 1 {
		for _, e := range all {
			if !slices.Contains(e.charts, chart.Name) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			s, err := e.run(chart, c.turn)
			if err != nil {
				return nil, err
			}
			want, err := expected(reference, chart, s.count)
			if err != nil {
				return nil, err
			}
			got := s.where
			if len(atomicOf(got)) == len(got) {
				want = atomicOf(want) // this engine says nothing of data
			}
			if !slices.Equal(got, want) {
				return nil, fmt.Errorf("%s on %s is in %v after %d events, want %v", e.name, chart.Name, got, s.count, want)
			}
			if round > 0 {
				rates[e.name] = append(rates[e.name], s.perSecond)
				allocs[e.name] = append(allocs[e.name], s.allocs)
			}
		}
	}
	var rows []*Row
	for _, e := range all {
		if len(rates[e.name]) == 0 {
			continue
		}
		r := &Row{Chart: chart.Name, Engine: e.name, EventsPerCPU: median(rates[e.name])}
		if a := median(allocs[e.name]); a >= 0 {
			// What the runtime itself allocates now and then is no part of it.
			a = float64(int(a*100)) / 100
			r.Allocs = &a
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// expected says where a session stands after n events.
func expected(reference engine, chart charts.Chart, n int) ([]string, error) {
	s, err := reference.start(chart)
	if err != nil {
		return nil, err
	}
	for i := range n % (chart.Period * len(chart.Events)) {
		s.send(i % len(chart.Events))
	}
	return s.configuration(), nil
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
