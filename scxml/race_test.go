// SPDX-License-Identifier: Apache-2.0

//go:build race

package scxml_test

// underRace: the race detector makes pools forget at random.
const underRace = true
