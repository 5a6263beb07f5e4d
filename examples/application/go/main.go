// SPDX-License-Identifier: Apache-2.0

// Command go is an example application: it adds numbers up, and survives.
package main

import (
	"encoding/json"
	"net"
	"os"
)

func main() { // what fails panics: that is a crash, and chartroom brings the state back
	_ = os.Remove(os.Getenv("CHARTROOM_SOCKET")) // left behind by a run that was killed
	listener, err := net.Listen("unix", os.Getenv("CHARTROOM_SOCKET"))
	for total, cursor := 0.0, 0.0; err == nil; { // the whole state
		conn, _ := listener.Accept() // the agent dials again when it breaks
		for in, m := json.NewDecoder(conn), map[string]any{}; in.Decode(&m) == nil; clear(m) {
			if sequence, _ := m["sequence"].(float64); m["type"] == "restore" && m["resume"] != true {
				total, _ = m["snapshot"].(float64) // null: a clean start
				cursor = sequence
			} else if m["type"] == "event" && sequence > cursor { // else its effect is contained already
				total, cursor = total+m["data"].(map[string]any)["number"].(float64), sequence
			}
			ready := map[string]any{"type": "ready", "run": m["run"], "sequence": cursor}
			snapshot := map[string]any{"type": "snapshot", "run": m["run"], "sequence": cursor, "snapshot": total}
			answer := map[string]any{"type": "answer", "run": m["run"], "sequence": m["sequence"]}
			for _, reply := range map[any][]any{"restore": {ready}, "event": {snapshot, answer}, "take_snapshot": {snapshot}}[m["type"]] {
				_ = json.NewEncoder(conn).Encode(reply)
			}
		}
	}
	panic(err)
}
