// SPDX-License-Identifier: AGPL-3.0-or-later

// Package session runs the instances of shards: it steps their sessions,
// commits what the steps changed, and only then lets anything out.
//
// # The loop
//
// A [Worker] owns shards and everything in them. Its loop ([Worker.Run]) is the
// way of every event:
//
//  1. Deliver steps an input in memory and performs nothing.
//  2. Commit gives the group of steps to the store: session snapshots, marks,
//     outbox, queue changes, log entries and results, all or nothing.
//  3. Dispatch lets out what a written group caused: commands, answers,
//     acknowledgements, events to other instances.
//
// While a group is being written the next one is stepped (at most
// [MaxSteps]). Groups of a worker are written one after another.
//
// # Guarantees
//
// The laws are those of docs/architecture.md.
//
//   - Nothing is acknowledged or answered before the group that holds it is
//     written, and nothing leaves before. A command stays in the outbox until
//     the commit that takes in its result, and is dispatched again after every
//     restart and every return of its agent: each acts once because the
//     receiver knows it by its id (laws 2 to 4).
//   - A group that the store refuses (another owner, out of order) drops every
//     step of that shard made after it too; the shard is down until it was
//     loaded again. A write whose outcome is not known is repeated, unchanged,
//     until it is known; nothing of the worker's moves meanwhile (law 5).
//   - Events that are accepted before the agent of their host was heard, as it may be
//     of an older copy of the store, are noted as such in their commit: whoever
//     loads the shard takes none of them for one that the application knows (law 5).
//   - Inputs of a source are numbered without holes; one that was taken in
//     before is acknowledged again and otherwise ignored. Another journal of a
//     host begins a new mark, and a gap is shown (law 2).
//   - The queue of application events of an instance is bounded in entries
//     (options.breaker.queue) and bytes ([MaxQueueBytes]); at the bound an event
//     is refused. The inbox of a worker is bounded ([Config].Inbox); when it is
//     full [Worker.Post] waits. Answers to requests are the store's to keep: they
//     are remembered for seconds (law 8).
//   - Inputs and due timers take turns, and the timers of instances among each
//     other: none of them keeps another from being stepped.
//   - A chart's fault is data (law 10): what its session cannot take is dropped
//     and logged, and the session is as it was before. Nothing of it ends a worker.
//   - A host is who its agent says it was enrolled as (law 11). A second journal
//     that lives under one id is refused before it gets here, and shown as a finding
//     of the host.
//
// # Concurrency
//
// One goroutine, that of [Worker.Run], owns the shards of a worker and every
// value in them; one more writes. [Worker.Post] is safe for concurrent use.
// What is handed to the writer or to the dispatcher is never changed again.
//
// # Stored messages
//
// Rows that are stored as they are sent (commands, queue entries, log entries,
// application snapshots, hosts) are the generated messages; docs/decisions
// says why. Everything else in here is this package's own.
package session
