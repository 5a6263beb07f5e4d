// SPDX-License-Identifier: Apache-2.0

// Command go is an example application: it adds numbers up, and survives.
package main

import (
	"encoding/json"
	"net"
	"os"
)

func main() {
	_ = os.Remove(os.Getenv("CHARTROOM_SOCKET")) // left behind by a run that was killed
	listener, err := net.Listen("unix", os.Getenv("CHARTROOM_SOCKET"))
	total, cursor := 0.0, 0 // the whole state
	for err == nil {
		var conn net.Conn
		if conn, err = listener.Accept(); err == nil {
			total, cursor = serve(conn, total, cursor)
		}
	}
	panic(err)
}

func serve(conn net.Conn, total float64, cursor int) (float64, int) {
	defer conn.Close()
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	for {
		var m struct {
			Type, Run string
			Sequence  int
			Resume    bool
			Snapshot  float64 // null leaves it 0: a clean start
			Data      struct{ Number float64 }
		}
		if in.Decode(&m) != nil {
			return total, cursor // the agent dials again
		}
		if m.Type == "restore" && !m.Resume {
			total, cursor = m.Snapshot, m.Sequence
		}
		fresh := m.Type == "event" && m.Sequence > cursor // else its effect is contained already
		if fresh {
			total, cursor = total+m.Data.Number, m.Sequence
		}
		if fresh || m.Type == "take_snapshot" {
			_ = out.Encode(map[string]any{"type": "snapshot", "run": m.Run, "sequence": cursor, "snapshot": total})
		}
		switch m.Type {
		case "restore":
			_ = out.Encode(map[string]any{"type": "ready", "run": m.Run, "sequence": cursor})
		case "event":
			_ = out.Encode(map[string]any{"type": "answer", "run": m.Run, "sequence": m.Sequence})
		}
	}
}
