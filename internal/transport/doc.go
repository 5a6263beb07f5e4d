// SPDX-License-Identifier: AGPL-3.0-or-later

// Package transport opens the connections between chartroom's own processes:
// listeners, gRPC servers and gRPC clients, and the trust between them.
//
// The rule on trust is one: a listener binds loopback unless it was told
// otherwise, and refuses any other address without a [Security] (TLS and a
// token). With a Security every connection is TLS 1.3 in both directions and
// every call carries the token; without one everything is plain. A Security
// is a directory that [Generate] (chartroom init) has filled.
//
// Everything here is safe for concurrent use. [Serve] starts goroutines and
// has stopped them when it returns; nothing else in this package starts any,
// beside those of gRPC itself, which end with the server or the connection.
//
// A client connection retries the connecting (100 ms, growing to 2 s), never
// a call: whether a call may be repeated is for its caller to know.
package transport
