// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build !unix

package sandbox

import "time"

func processorTime() (time.Duration, bool) { return 0, false }
