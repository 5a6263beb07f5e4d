// SPDX-License-Identifier: Apache-2.0

// Command go is an example application: it adds numbers up, and survives.
package main

import (
	"encoding/json"
	"net"
	"os"
)

type message struct {
	Type, Run string
	Sequence  int
	Resume    bool
	Snapshot  float64 // null leaves it 0: a clean start
	Data      struct{ Number float64 }
}

func main() {
	_ = os.Remove(os.Getenv("CHARTROOM_SOCKET")) // left behind by a run that was killed
	listener, err := net.Listen("unix", os.Getenv("CHARTROOM_SOCKET"))
	total, cursor := 0.0, 0 // the whole state
	for err == nil {
		var conn net.Conn
		if conn, err = listener.Accept(); err != nil {
			break
		}
		in, out := json.NewDecoder(conn), json.NewEncoder(conn)
		for m := new(message); in.Decode(m) == nil; m = new(message) {
			switch m.Type {
			case "restore":
				if !m.Resume {
					total, cursor = m.Snapshot, m.Sequence
				}
				_ = out.Encode(map[string]any{"type": "ready", "run": m.Run, "sequence": cursor})
			case "event":
				if m.Sequence > cursor { // else its effect is contained already
					total, cursor = total+m.Data.Number, m.Sequence
					_ = out.Encode(map[string]any{"type": "snapshot", "run": m.Run, "sequence": cursor, "snapshot": total})
				}
				_ = out.Encode(map[string]any{"type": "answer", "run": m.Run, "sequence": m.Sequence})
			case "take_snapshot":
				_ = out.Encode(map[string]any{"type": "snapshot", "run": m.Run, "sequence": cursor, "snapshot": total})
			}
		}
		_ = conn.Close() // the agent dials again
	}
	panic(err)
}
