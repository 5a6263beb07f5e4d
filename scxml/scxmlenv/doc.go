// SPDX-License-Identifier: Apache-2.0

// Package scxmlenv runs sessions of package scxml: it routes events between them,
// starts and ends the ones they invoke, and fires delayed sends. There are two
// environments, which differ in their clock and in how they reach the world, and
// in nothing else:
//
//   - [Env] has a virtual clock. Delayed sends fire in the order in which they are
//     due, without waiting; the Basic HTTP event I/O processor reaches the sessions
//     of the same Env, without a network. Equal calls give equal results. It is for
//     tests, for trying charts out, and for reading.
//   - [Live] has the real clock. The Basic HTTP event I/O processor is a server and
//     a client of HTTP, and documents come from files and from the network, both
//     only as far as an [Access] allows.
//
// # Concurrency
//
// An Env has one owner and starts no goroutine. A Live owns one: the goroutine of
// [Live.Run] takes all steps, one after the other, and others hand it what it has
// to do. Requests, fetching and compiling happen in goroutines of their own, all of
// which have ended when Run returns.
//
// # Guarantees
//
// Nothing here is durable: a session lives as long as its process, unless it is in
// an Env whose owner stores what [Env.Save] gives. Events from one
// session to another arrive in order. Events by HTTP from one session to one address
// go one after the other; each is sent once, and comes back as error.communication
// when it was not answered with 2xx. An event that arrives by HTTP is answered with
// 2xx after it was queued, and never before. Events that are sent while an invoked
// session is being loaded wait for it.
//
// The number of sessions, of waiting events and of requests under way is bounded;
// what is beyond comes back as error.communication, or as status 503.
package scxmlenv
