// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"slices"
	"strconv"
	"strings"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// flaw is something wrong with what the application says on its channel, or with
// the file that it writes. It is shown beside the findings about labels until the application has done better:
// a snapshot that could not be kept until one is, a start that is not ready until one
// is or until there is no channel any more, any other until the next run.
type flaw struct {
	// Code is the agent's, such as "snapshot.too-large", or "snapshot.failed" for a
	// file that the engine did not give; one flaw a code.
	Code    string `json:"code"`
	Message string `json:"message"`
}

// flawsKept bounds them: the agent may be newer, and have more codes.
const flawsKept = 8

// Beginnings of codes.
const (
	flawedSnapshot = "snapshot."
	flawedMessage  = "message."
	flawedStart    = "start."
)

// unready is the code of a run that has begun and is not ready after a while.
const unready = flawedStart + "unready"

// refused takes in that the agent did not take something which the application
// said. Nothing moves: the events since the newest snapshot stay in the queue.
func (t *turn) refused(data map[string]any) {
	book := &t.instance.book
	code, _ := data["code"].(string)
	message, _ := data["message"].(string)
	if strings.HasPrefix(code, flawedSnapshot) {
		book.Forced = ""
		if kept := t.instance.view.GetSnapshots(); len(kept) > 0 {
			message += "; the newest that is kept is #" + strconv.FormatUint(kept[0].GetNumber(), 10)
		} else {
			message += "; none is kept, so it would come back without its state"
		}
	}
	t.flawed(code, message)
}

// flawed notes a flaw, in the place of one with its code.
func (t *turn) flawed(code, message string) {
	book := &t.instance.book
	t.mended(code)
	if len(book.Flaws) < flawsKept {
		book.Flaws = append(book.Flaws, flaw{Code: code, Message: message})
	}
}

// mended drops the flaws whose code begins so.
func (t *turn) mended(prefix string) {
	t.instance.book.Flaws = slices.DeleteFunc(slices.Clone(t.instance.book.Flaws), func(f flaw) bool { return strings.HasPrefix(f.Code, prefix) })
}

// fixes say what to do about a flaw.
var fixes = map[string]string{
	"snapshot.too-large": "dump less, or write the state to a file (up to 64 MiB): chartroom.snapshot=file:/PATH",
	"snapshot.failed":    "see that the application writes the file that chartroom.snapshot=file:/PATH names, in the container",
	"snapshot.no-room":   "see why the agent's snapshots are not stored, or give it more room on its disk",
	"message.too-large":  "send less in one message",
	unready:              "listen at $CHARTROOM_SOCKET, and answer restore with ready: docs/application-contract.md",
	"message.unknown":    "write one JSON object a line, as docs/application-contract.md says; logs belong to standard output",
}

// findings are what is wrong with labels, settings, application and chart.
func (i *Instance) findings() []*fleetv1.Finding {
	out := slices.Clone(i.view.GetFindings())
	for _, f := range i.book.Flaws {
		severity := fleetv1.Severity_SEVERITY_ERROR
		if f.Code == unready {
			severity = fleetv1.Severity_SEVERITY_WARNING // It may yet be.
		}
		out = append(out, &fleetv1.Finding{Code: f.Code, Message: f.Message, Fix: fixes[f.Code], Severity: severity})
	}
	if f := i.suspension(); f != nil {
		out = append(out, f)
	}
	return out
}
