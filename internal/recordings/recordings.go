// SPDX-License-Identifier: AGPL-3.0-or-later

// Package recordings holds what real Docker engines were recorded doing: every
// operation in every state, some seventy scenarios and restarts of the engine,
// on two engine versions. Tests replay the rows through the agent's logic and
// through the charts, and compare the end with the recorded inspect.
//
// The data is embedded in the package, so every importer carries it: only tests
// import this package. [Rows] is safe for concurrent use; each call decodes anew,
// so that a caller may change what it gets.
package recordings

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// embedded is written by the program in the folder compact.
//
//go:embed rows.jsonl.gz
var embedded []byte

// Row is one recording: what was called, which events arrived, and what inspect
// said when it was over.
type Row struct {
	// Engine is the version of the engine, such as "20.10.24".
	Engine string `json:"engine"`
	// Scenario names the row for people; it is unique within an engine but for
	// the daemon restarts, where From tells them apart.
	Scenario string `json:"scenario"`
	// From is the state before the first event; empty when the container did not
	// exist before. For restarts of the daemon it describes the container.
	From string `json:"from,omitempty"`
	// Op is the operation under test; empty for scenarios.
	Op string `json:"op,omitempty"`
	// Note is the recorder's remark; may be empty.
	Note string `json:"note,omitempty"`
	// Name is the container's name without the slash when it was recorded last.
	Name string `json:"name,omitempty"`
	// ContainerID is the id of the container that State is about, shortened to 12
	// digits; empty when there never was one.
	ContainerID string `json:"container,omitempty"`
	// Calls are the operations, in the order in which they were begun.
	Calls []Call `json:"calls,omitempty"`
	// Events are the container events in the order of their arrival. There may be
	// some of other containers.
	Events []Event `json:"events,omitempty"`
	// InspectStatus is the HTTP status of the inspect at the end: 200, 404, or 0
	// when the recorder made none.
	InspectStatus int `json:"inspect"`
	// State is what that inspect said; nil unless InspectStatus is 200.
	State *State `json:"state,omitempty"`
	// RestartCount is the engine's own count at the end.
	RestartCount int `json:"restartCount,omitempty"`
}

// Call is one operation of a recording.
type Call struct {
	// Op names it, such as "stop?t=3" or "host-kill-killed".
	Op string `json:"op"`
	// Status is the HTTP status; 0 when it was no call to the engine.
	Status int `json:"status,omitempty"`
	// Error is the engine's text; empty when there was none.
	Error string `json:"error,omitempty"`
}

// Event is one container event of a recording.
type Event struct {
	// Action is the engine's, such as "die" or "health_status: healthy".
	Action string `json:"action"`
	// ContainerID is the container, shortened to 12 digits.
	ContainerID string `json:"id"`
	// TimeNano is the engine's stamp in nanoseconds since 1970.
	TimeNano int64 `json:"time"`
	// ReceivedNano is when the recorder read it, in nanoseconds since 1970.
	ReceivedNano int64 `json:"recv"`
	// Attributes are the event's own, with "name" and "image".
	Attributes map[string]string `json:"attr,omitempty"`
}

// State is the part State of an inspect, by the engine's own names.
type State struct {
	// Status is "created", "running", "paused", "restarting", "removing",
	// "exited" or "dead".
	Status string
	// Running is true also while paused and while restarting.
	Running bool
	// Paused is true while the processes are frozen.
	Paused bool
	// Restarting is true while a restart policy waits.
	Restarting bool
	// OOMKilled is true when the kernel killed for want of memory.
	OOMKilled bool
	// Dead is true when a removal failed.
	Dead bool
	// ExitCode is that of the last run.
	ExitCode int
	// Error is why the last start failed; may be empty.
	Error string
	// StartedAt is the start of the last run; zero when there was none.
	StartedAt time.Time
	// FinishedAt is the end of the last run; zero when there was none.
	FinishedAt time.Time
}

// Rows decodes all recordings in the order in which they were made, 20.10.24
// first. It panics when the embedded data is damaged, which only a broken build
// can cause.
func Rows() []Row {
	rows, err := decode(embedded)
	if err != nil {
		panic(fmt.Sprintf("recordings: embedded rows: %v", err))
	}
	return rows
}

func decode(compressed []byte) ([]Row, error) {
	z, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(z)
	var rows []Row
	for {
		var row Row
		if err := dec.Decode(&row); errors.Is(err, io.EOF) {
			return rows, nil
		} else if err != nil {
			return nil, fmt.Errorf("row %d: %w", len(rows)+1, err)
		}
		rows = append(rows, row)
	}
}
