// SPDX-License-Identifier: AGPL-3.0-or-later

// Command report judges what `make demo ONCE=1 REPORT=file` wrote.
//
//	report FILE                  nothing lost, nothing doubled, at least 200 events
//	report -pairs 15 FILE        and the median recovery over at least 15 pairs is below the engine's own restart
//	report -fault drop FILE      the fault that was built in shows: something is lost, or doubled
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
)

// leastEvents is how many numbered events a demo has to have acknowledged.
const leastEvents = 200

// A timing is a median over samples, in milliseconds.
type timing struct {
	Median  float64   `json:"median"`
	Samples []float64 `json:"samples"`
}

// A report is what the demo writes, as far as it is judged.
type report struct {
	Acknowledged int    `json:"acknowledged"`
	Lost         int    `json:"lost"`
	Doubled      int    `json:"doubled"`
	Recovery     timing `json:"recovery_ms"`
	Restart      timing `json:"docker_restart_ms"`
}

func main() {
	pairs := flag.Int("pairs", 0, "require this many pairs of samples and a median below the engine's own")
	fault := flag.String("fault", "", "the fault that was built in: drop, twice or stale")
	flag.Parse()
	b, err := os.ReadFile(flag.Arg(0))
	if err != nil {
		fmt.Fprintf(os.Stderr, "read the report: %v\n", err)
		os.Exit(1)
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		fmt.Fprintf(os.Stderr, "read the report %s: %v\n", flag.Arg(0), err)
		os.Exit(1)
	}
	if err := r.judge(*fault, *pairs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%d acknowledged, %d lost, %d doubled; recovery %.0f ms, the engine's own restart %.0f ms (medians of %d and %d)\n",
		r.Acknowledged, r.Lost, r.Doubled, r.Recovery.Median, r.Restart.Median, len(r.Recovery.Samples), len(r.Restart.Samples))
}

// judge returns what is wrong with the report of a run with the given fault, ""
// for none.
func (r report) judge(fault string, pairs int) error {
	var wrong []error
	if r.Acknowledged < leastEvents {
		wrong = append(wrong, fmt.Errorf("%d events acknowledged, at least %d are needed", r.Acknowledged, leastEvents))
	}
	switch fault {
	case "":
		if r.Lost != 0 || r.Doubled != 0 {
			wrong = append(wrong, fmt.Errorf("%d lost, %d doubled", r.Lost, r.Doubled))
		}
	case "drop", "stale":
		if r.Lost == 0 {
			wrong = append(wrong, fmt.Errorf("the fault %s was built in and nothing is said to be lost", fault))
		}
	case "twice":
		if r.Doubled == 0 {
			wrong = append(wrong, errors.New("the fault twice was built in and nothing is said to be doubled"))
		}
	default:
		wrong = append(wrong, fmt.Errorf("no fault is called %q", fault))
	}
	if pairs > 0 {
		if n, m := len(r.Recovery.Samples), len(r.Restart.Samples); n < pairs || m < pairs {
			wrong = append(wrong, fmt.Errorf("%d and %d samples, at least %d of each are needed", n, m, pairs))
		}
		if r.Recovery.Median >= r.Restart.Median {
			wrong = append(wrong, fmt.Errorf("recovery takes %.0f ms, the engine's own restart %.0f ms", r.Recovery.Median, r.Restart.Median))
		}
	}
	return errors.Join(wrong...)
}
