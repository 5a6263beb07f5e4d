// SPDX-License-Identifier: AGPL-3.0-or-later

// Command unruly is an application that keeps the contract and misbehaves when it
// is told to. Its state is the list of the events that it has taken, how large it
// makes its snapshot and whether that is spoilt; each event is printed, for a
// witness outside.
//
//	die                 it ends in the middle of this event, whenever it gets it
//	spoil               its snapshots from now on are such that a run that gets one ends
//	grow {"bytes": N}   its snapshots have N bytes from now on
//	babble              it writes a thousand lines of garbage to its channel
//	ail                 its health check ("unruly health") fails until the next run
//	rot                 every start ends before it is ready, but where the
//	                    environment has UNRULY=safe; until
//	mend                is said, since the rot is on the volume of the socket
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// rot is the file that no start survives.
func rot() string { return filepath.Join(filepath.Dir(os.Getenv("CHARTROOM_SOCKET")), "rot") }

// sick is the file that the health check looks for.
const sick = "/sick"

// state is the snapshot.
type state struct {
	Seen   []int  `json:"seen"`
	Spoilt bool   `json:"spoilt"`
	Bytes  int    `json:"bytes"`
	Pad    string `json:"pad"`
}

// message is any of the contract's.
type message struct {
	Type     string              `json:"type"`
	Run      string              `json:"run"`
	Sequence int                 `json:"sequence"`
	Resume   bool                `json:"resume,omitempty"`
	Name     string              `json:"name,omitempty"`
	Data     struct{ Bytes int } `json:"data"`
	Snapshot *state              `json:"snapshot,omitempty"`
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "health" {
		if _, err := os.Stat(sick); err == nil {
			os.Exit(1)
		}
		return
	}
	_ = os.Remove(sick)
	_ = os.Remove(os.Getenv("CHARTROOM_SOCKET"))
	if _, err := os.Stat(rot()); err == nil && os.Getenv("UNRULY") != "safe" {
		fmt.Println("rotten")
		os.Exit(1)
	}
	listener, err := net.Listen("unix", os.Getenv("CHARTROOM_SOCKET"))
	if err != nil {
		panic(err)
	}
	var s state
	cursor := 0
	for {
		conn, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		fmt.Println("connected")
		serve(conn, &s, &cursor)
	}
}

func serve(conn net.Conn, s *state, cursor *int) {
	defer conn.Close()
	in, out := json.NewDecoder(bufio.NewReader(conn)), json.NewEncoder(conn)
	for {
		var m message
		if in.Decode(&m) != nil {
			return
		}
		fresh := false
		switch m.Type {
		case "restore":
			if !m.Resume {
				*s, *cursor = state{}, m.Sequence
				if m.Snapshot != nil {
					*s = *m.Snapshot
				}
				fmt.Println("restored", s.Seen)
				if s.Spoilt {
					os.Exit(1)
				}
			}
		case "event":
			if fresh = m.Sequence > *cursor; fresh {
				act(conn, m, s)
				*cursor = m.Sequence
			}
		}
		if fresh || m.Type == "take_snapshot" {
			s.Pad = strings.Repeat("x", s.Bytes)
			_ = out.Encode(message{Type: "snapshot", Run: m.Run, Sequence: *cursor, Snapshot: s})
		}
		switch m.Type {
		case "restore":
			_ = out.Encode(message{Type: "ready", Run: m.Run, Sequence: *cursor})
		case "event":
			_ = out.Encode(message{Type: "answer", Run: m.Run, Sequence: m.Sequence})
		}
	}
}

func act(conn io.Writer, m message, s *state) {
	s.Seen = append(s.Seen, m.Sequence)
	fmt.Println("took", m.Sequence, m.Name)
	switch m.Name {
	case "die":
		os.Exit(1)
	case "spoil":
		s.Spoilt = true
	case "grow":
		s.Bytes = m.Data.Bytes
	case "babble":
		for range 1000 {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\n")
		}
	case "ail":
		_ = os.WriteFile(sick, nil, 0o600)
	case "rot":
		_ = os.WriteFile(rot(), nil, 0o600)
	case "mend":
		_ = os.Remove(rot())
	}
}
