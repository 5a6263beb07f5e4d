// SPDX-License-Identifier: AGPL-3.0-or-later

// Package charts holds the charts and events that all engines are measured with.
package charts

import "embed"

//go:embed *.scxml
var files embed.FS

// Chart is a chart with the events that are delivered to it in a cycle.
type Chart struct {
	// Name is the name of the row, File that of the document.
	Name, File string
	Events     []string
	// Data is the data of each event.
	Data any
	// Period is the number of events after which a session is where it began.
	Period int
}

// All are the charts in the order of the table.
var All = []Chart{
	{Name: "toggle", File: "toggle.scxml", Events: []string{"press"}, Period: 2},
	{Name: "lifecycle", File: "lifecycle.scxml", Period: 15, Events: []string{
		"create", "start", "ready", "probe.ok", "pause", "resume", "probe.fail", "probe.ok",
		"stop", "exited", "restart", "ready", "stop", "exited", "remove"}},
	{Name: "parallel4-one", File: "parallel4.scxml", Events: []string{"turn.1", "turn.2", "turn.3", "turn.4"}, Period: 12},
	{Name: "parallel4-all", File: "parallel4.scxml", Events: []string{"turn.all"}, Period: 3},
	{Name: "guard", File: "guard.scxml", Events: []string{"tick"}, Data: 1.0, Period: 20},
}

// Source is the document of the chart.
func (c Chart) Source() []byte {
	b, err := files.ReadFile(c.File)
	if err != nil {
		panic(err) // the files are part of the program
	}
	return b
}
