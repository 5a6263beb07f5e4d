// SPDX-License-Identifier: Apache-2.0

// Command go is an example application: it adds numbers up, and survives.
package main

import (
	"encoding/json"
	"net"
	"os"
)

type message map[string]any // a line, in either direction

func main() { // what fails panics: that is a crash, and chartroom brings the state back
	_ = os.Remove(os.Getenv("CHARTROOM_SOCKET")) // left behind by a run that was killed
	listener, err := net.Listen("unix", os.Getenv("CHARTROOM_SOCKET"))
	for total, cursor := 0.0, 0.0; err == nil; { // the whole state
		conn, _ := listener.Accept() // the agent dials again when it breaks
		for in, m := json.NewDecoder(conn), (message{}); in.Decode(&m) == nil; clear(m) {
			say := func(reply message) { reply["run"] = m["run"]; _ = json.NewEncoder(conn).Encode(reply) }
			switch sequence, _ := m["sequence"].(float64); m["type"] {
			case "restore":
				if m["resume"] != true {
					total, _ = m["snapshot"].(float64) // null: a clean start
					cursor = sequence
				}
				say(message{"type": "ready", "sequence": cursor})
			case "event":
				if sequence > cursor { // else its effect is contained already
					total, cursor = total+m["data"].(map[string]any)["number"].(float64), sequence
					say(message{"type": "snapshot", "sequence": cursor, "snapshot": total})
				}
				say(message{"type": "answer", "sequence": sequence})
			case "take_snapshot":
				say(message{"type": "snapshot", "sequence": cursor, "snapshot": total})
			}
		}
	}
	panic(err)
}
