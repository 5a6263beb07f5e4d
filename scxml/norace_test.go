// SPDX-License-Identifier: Apache-2.0

//go:build !race

package scxml_test

const underRace = false
