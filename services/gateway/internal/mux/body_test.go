// SPDX-License-Identifier: AGPL-3.0-or-later

package mux

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are in memory, so that their deadlines are
// those of virtual time.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error { return nil }

func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// A client that stops in the middle of a body is told so after a while and loses its
// connection, whatever it asks for. One whose body has come may wait for its answer.
func TestBodiesHaveATime(t *testing.T) {
	t.Parallel()
	const wait = 10 * bodyTime
	for _, test := range []struct {
		name, path, body string
		code             int
		contains         string
		after            time.Duration
	}{
		{"read, stops", "/v1/charts", `{`, 400, "the body did not come within 30s", bodyTime},
		{"not read, stops", "/metrics", `{`, 200, "metrics", bodyTime},
		{"whole, slow answer", "/wait", `{}`, 200, "it was worth it", wait},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rest, err := newREST(nil)
				if err != nil {
					t.Fatal(err)
				}
				closed := http.NewServeMux()
				closed.Handle("/v1/", rest)
				closed.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { plainText(w, http.StatusOK, "metrics") })
				closed.HandleFunc("/wait", func(w http.ResponseWriter, r *http.Request) {
					if _, err := io.ReadAll(r.Body); err != nil {
						t.Error(err)
					}
					select {
					case <-time.After(wait): // virtual
						plainText(w, http.StatusOK, "it was worth it")
					case <-r.Context().Done():
						plainText(w, http.StatusOK, "the client is gone")
					}
				})
				listener := make(pipes)
				server := &http.Server{Handler: newGuard("", false, nil, closed), ReadHeaderTimeout: time.Second, IdleTimeout: time.Second}
				served := make(chan struct{})
				go func() {
					defer close(served)
					_ = server.Serve(listener)
				}()
				defer func() { close(listener); <-served }()
				client, conn := net.Pipe()
				defer client.Close()
				listener <- conn
				began := time.Now()
				go fmt.Fprintf(client, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n%s", test.path, test.body)
				// Whoever is not answered stops waiting.
				_ = client.SetReadDeadline(began.Add(2 * wait))
				resp, err := http.ReadResponse(bufio.NewReader(client), nil)
				if err != nil {
					t.Fatalf("no answer: %v", err)
				}
				body, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != test.code || !strings.Contains(string(body), test.contains) || time.Since(began) != test.after {
					t.Errorf("after %v: %s %s; want %d with %q after %v", time.Since(began), resp.Status, body, test.code, test.contains, test.after)
				}
				if strings.HasPrefix(test.name, "whole") {
					return
				}
				if _, err := client.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("the connection is still there: %v", err)
				}
			})
		})
	}
}
