// SPDX-License-Identifier: AGPL-3.0-or-later

package application

import (
	"encoding/json"

	"github.com/chartroom/chartroom/scxml/scxmlenv"
)

// maxLine is the longest line in either direction, without its newline. The
// contract fixes it.
const maxLine = 4 << 20

// inbound is any message to the application. Which fields mean something
// depends on Type.
type inbound struct {
	Type     string          `json:"type"`
	Run      string          `json:"run"`
	Sequence uint64          `json:"sequence"`
	Snapshot json.RawMessage `json:"snapshot"`
	Resume   bool            `json:"resume"`
	Name     string          `json:"name"`
	Data     any             `json:"data"`
}

// The messages from the application, one type each, so that a field which a
// message does not have cannot slip into it.
type (
	readyMessage struct {
		Type     string `json:"type"`
		Run      string `json:"run"`
		Sequence uint64 `json:"sequence"`
	}
	answerMessage struct {
		Type     string `json:"type"`
		Run      string `json:"run"`
		Sequence uint64 `json:"sequence"`
		Error    string `json:"error,omitempty"`
	}
	snapshotMessage struct {
		Type     string `json:"type"`
		Run      string `json:"run"`
		Sequence uint64 `json:"sequence"`
		Snapshot state  `json:"snapshot"`
	}
	eventMessage struct {
		Type    string `json:"type"`
		Run     string `json:"run"`
		Ordinal uint64 `json:"ordinal"`
		Cause   uint64 `json:"cause"`
		Name    string `json:"name"`
		Data    any    `json:"data"`
	}
	errorMessage struct {
		Type    string `json:"type"`
		Run     string `json:"run"`
		Message string `json:"message"`
	}
)

// state is the snapshot of this application: to chartroom it is any JSON value.
type state struct {
	// Chart is the digest of the chart, so that a snapshot of another chart is
	// refused with words that help.
	Chart string `json:"chart"`
	// Session is the session snapshot; base64 in JSON.
	Session []byte `json:"session"`
	// Invoked are the sessions that it invoked, and those that they did; Count is
	// how many there ever were, itself included.
	Invoked []scxmlenv.SavedSession `json:"invoked,omitempty"`
	Count   int                     `json:"count,omitempty"`
	// Ordinal is the number of events sent out so far. It travels with the
	// state so that a replay numbers them as before and receivers can drop
	// repeats.
	Ordinal uint64 `json:"ordinal"`
}
