// SPDX-License-Identifier: AGPL-3.0-or-later

// Package version names the version that a program was built from.
package version

// Version is what `git describe` said when scripts/build built the program,
// and "dev" in one that was built otherwise. The linker sets it.
var Version = "dev"
