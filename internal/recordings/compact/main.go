// SPDX-License-Identifier: AGPL-3.0-or-later

// Command compact makes internal/recordings/rows.jsonl.gz from full recordings
// of engines (one JSON object a line, with the untouched messages of /events).
// It keeps the container events with the attributes that anybody reads, shortens
// ids, and drops events of networks, volumes and images.
//
//	go run ./internal/recordings/compact -o internal/recordings/rows.jsonl.gz FILE...
package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"

	"github.com/chartroom/chartroom/internal/recordings"
)

// full is a row as it was recorded.
type full struct {
	Engine, Scenario, From, Op, Note, Name string

	Calls []struct {
		Op, Path, Error string
		Status          int
	}
	Events []struct {
		RecvNano int64
		Msg      struct {
			Type, Action string
			Actor        struct {
				ID         string
				Attributes map[string]string
			}
			TimeNano int64
		}
	}
	InspectStatus int
	State         *recordings.State
	RestartCount  int
}

var longID = regexp.MustCompile(`[0-9a-f]{64}`)

// kept are the attributes that the agent or a chart reads.
var kept = []string{"name", "image", "exitCode", "signal", "oldName", "execID", "execDuration"}

func main() {
	out := flag.String("o", "rows.jsonl.gz", "file to write")
	flag.Parse()
	if err := run(*out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "compact:", err)
		os.Exit(1)
	}
}

func run(out string, files []string) error {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(z)
	enc.SetEscapeHTML(false)
	for _, name := range files {
		if err := compact(enc, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return f.Close()
}

func compact(enc *json.Encoder, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for n := 1; lines.Scan(); n++ {
		var in full
		if err := json.Unmarshal(lines.Bytes(), &in); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if err := enc.Encode(row(in)); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

func row(in full) recordings.Row {
	out := recordings.Row{
		Engine: in.Engine, Scenario: in.Scenario, From: in.From, Op: in.Op, Note: in.Note, Name: in.Name,
		ContainerID: subject(in), InspectStatus: in.InspectStatus, State: in.State, RestartCount: in.RestartCount,
	}
	for _, c := range in.Calls {
		out.Calls = append(out.Calls, recordings.Call{Op: c.Op, Status: c.Status, Error: longID.ReplaceAllStringFunc(c.Error, short)})
	}
	for _, e := range in.Events {
		if e.Msg.Type != "container" {
			continue
		}
		ev := recordings.Event{
			Action: e.Msg.Action, ContainerID: short(e.Msg.Actor.ID), TimeNano: e.Msg.TimeNano,
			ReceivedNano: e.RecvNano, Attributes: map[string]string{},
		}
		for _, k := range kept {
			if v, ok := e.Msg.Actor.Attributes[k]; ok {
				ev.Attributes[k] = longID.ReplaceAllStringFunc(v, short)
			}
		}
		out.Events = append(out.Events, ev)
	}
	return out
}

// subject finds the id of the container that the row's state is about: the last
// one that bore the row's name, else the only one mentioned, else one made up
// for a row in which the engine never gave the id away.
func subject(in full) string {
	id := ""
	for _, e := range in.Events {
		if e.Msg.Type == "container" && (id == "" || e.Msg.Actor.Attributes["name"] == in.Name) {
			id = e.Msg.Actor.ID
		}
	}
	for _, c := range in.Calls {
		if id == "" {
			id = longID.FindString(c.Path + " " + c.Error)
		}
	}
	if id == "" && in.InspectStatus == 200 {
		id = fmt.Sprintf("%-12.12s", in.Name+"000000000000")
	}
	return short(id)
}

func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}
