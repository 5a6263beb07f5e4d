// SPDX-License-Identifier: AGPL-3.0-or-later

package version

import (
	"runtime/debug"
	"testing"
)

func TestBuild(t *testing.T) {
	t.Parallel()
	b := This()
	if b.Version != Version || b.Kernel != Kernel || b.Go == "" || b.Platform == "" {
		t.Errorf("this build is %+v", b)
	}
	b.note([]debug.BuildSetting{{Key: "GOOS", Value: "plan9"}, {Key: "vcs.revision", Value: "ab12"}, {Key: "vcs.modified", Value: "true"}})
	if b.Revision != "ab12" || !b.Modified {
		t.Errorf("revision %q, modified %v, want ab12, true", b.Revision, b.Modified)
	}
}
