// SPDX-License-Identifier: AGPL-3.0-or-later

// Command probe is what the containers of tests run, in an image FROM scratch:
//
//	probe run         until SIGTERM, then exits 0
//	probe stubborn    ignores SIGTERM
//	probe exit N      exits at once with code N
//	probe app         counts events that come over $CHARTROOM_SOCKET; the event
//	                  "crash" makes it exit 1 without an answer
//	probe file PATH   adds a line to the file every 20 ms, going on from what is there
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	verb := ""
	if len(os.Args) > 1 {
		verb = os.Args[1]
	}
	switch verb {
	case "exit":
		code, _ := strconv.Atoi(os.Args[2])
		os.Exit(code)
	case "app":
		go app()
	case "file":
		go count(os.Args[2])
	}
	term := make(chan os.Signal, 1)
	if verb == "stubborn" {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM) // taken, and nothing done
	} else {
		signal.Notify(term, syscall.SIGTERM)
	}
	fmt.Println("ready")
	<-term
}

func count(path string) {
	b, _ := os.ReadFile(path)
	for n := strings.Count(string(b), "\n") + 1; ; n++ {
		b = fmt.Appendf(b, "%d\n", n)
		if err := os.WriteFile(path+".new", b, 0o644); err != nil {
			fmt.Println(err)
		}
		_ = os.Rename(path+".new", path)
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // the pace of what it plays
	}
}

type message struct {
	Type     string          `json:"type"`
	Run      string          `json:"run"`
	Sequence uint64          `json:"sequence"`
	Name     string          `json:"name,omitempty"`
	Snapshot json.RawMessage `json:"snapshot,omitempty"`
	Resume   bool            `json:"resume,omitempty"`
}

// app serves one connection after the other; its state is the names of the
// events that it has seen.
func app() {
	path := os.Getenv("CHARTROOM_SOCKET")
	_ = os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	var seen []string
	var cursor uint64
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(2)
		}
		out := json.NewEncoder(c)
		in := bufio.NewScanner(c)
		in.Buffer(nil, 4<<20)
		for in.Scan() {
			var m message
			_ = json.Unmarshal(in.Bytes(), &m)
			dump, _ := json.Marshal(seen)
			switch m.Type {
			case "restore":
				if !m.Resume {
					seen, cursor = nil, m.Sequence
					_ = json.Unmarshal(m.Snapshot, &seen)
				}
				_ = out.Encode(message{Type: "ready", Run: m.Run, Sequence: cursor})
			case "event":
				if m.Name == "crash" {
					os.Exit(1)
				}
				if m.Sequence > cursor {
					seen, cursor = append(seen, m.Name), m.Sequence
					dump, _ = json.Marshal(seen)
					fmt.Println("processed", m.Sequence, m.Name)
					_ = out.Encode(message{Type: "snapshot", Run: m.Run, Sequence: cursor, Snapshot: dump})
				}
				_ = out.Encode(message{Type: "answer", Run: m.Run, Sequence: m.Sequence})
			case "take_snapshot":
				_ = out.Encode(message{Type: "snapshot", Run: m.Run, Sequence: cursor, Snapshot: dump})
			}
		}
		c.Close()
	}
}
