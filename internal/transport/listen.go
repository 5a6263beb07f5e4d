// SPDX-License-Identifier: AGPL-3.0-or-later

package transport

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// ErrNotLoopback is returned by [Listen] for an address that others can reach
// when there is no Security to keep them out.
var ErrNotLoopback = errors.New("refusing to listen beyond loopback without TLS and a token (make them with: chartroom init DIR; then --tls-dir DIR)")

// Listen opens a TCP listener on addr ("HOST:PORT"), or a unix socket on
// "unix:PATH". An empty host means 127.0.0.1, not every interface. A host
// that is not loopback needs s; without it the error is [ErrNotLoopback]. A
// name counts as loopback when all its addresses are.
//
// The listener is plain in any case: TLS is the server's ([NewServer],
// [Security.ServerTLS]).
func Listen(addr string, s Security) (net.Listener, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		l, err := net.Listen("unix", path)
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		return l, nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if !s.Enabled() && !loopback(host) {
		return nil, fmt.Errorf("listen on %s: %w", addr, ErrNotLoopback)
	}
	if s.Enabled() {
		// Both must be there before anything listens, or the first caller
		// would find out instead of the operator.
		if _, err := s.Token(); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
		if _, err := s.ServerTLS(true); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

// loopback reports whether only this computer can reach host.
func loopback(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	ips, err := net.LookupIP(host)
	if err != nil || len(ips) == 0 {
		return false
	}
	for _, ip := range ips {
		if !ip.IsLoopback() {
			return false
		}
	}
	return true
}
