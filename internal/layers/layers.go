// SPDX-License-Identifier: AGPL-3.0-or-later

// Package layers holds the tests that keep the packages apart: who may import
// whom, and who may import a client of an engine or a store. It has no code.
package layers
