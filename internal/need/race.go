// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build race

package need

// Race reports whether the race detector is built in. It takes more memory than
// the limits that some tests set for their children.
const Race = true
