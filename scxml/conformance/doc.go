// SPDX-License-Identifier: Apache-2.0

// Package conformance runs suites of charts: documents of the W3C
// implementation report plan, scripted tests of SCION, and scenarios of
// package scenario.
//
// [Find] tells the cases under a path. A folder with a manifest.json is run by
// it, in the format of the two suites in W3C's and SCION's: rows of another suite
// than "final", and manual ones, are listed as excluded. Any other folder is
// searched. [Case.Run] runs one, on a virtual clock, straight and once more saved
// and restored after every step; it starts no goroutine, performs no network
// access and reads only files beside the document. It does not defend itself
// against documents that never end: run what you do not trust in a process of its
// own.
//
// Cases are values and may be run by many goroutines at once.
package conformance
