// SPDX-License-Identifier: AGPL-3.0-or-later

// Package version names the version that a program was built from.
package version

import (
	"runtime"
	"runtime/debug"
)

// Version is what `git describe` said when scripts/build built the program,
// and "dev" in one that was built otherwise. The linker sets it.
var Version = "dev"

// Kernel is stored with every log entry. It changes when the kernel would take a
// logged step differently.
const Kernel = "2"

// Build is what a program was built from.
type Build struct {
	Version string `json:"version"`
	Kernel  string `json:"kernel"`
	// Go is the version of the compiler, Platform "linux/arm64".
	Go       string `json:"go"`
	Platform string `json:"platform"`
	// Revision is the commit, empty when the compiler did not note it (outside of a
	// clone, or with -buildvcs=false). Modified says that there was more than that.
	Revision string `json:"revision"`
	Modified bool   `json:"modified"`
}

// This tells what this program was built from.
func This() Build {
	b := Build{Version: Version, Kernel: Kernel, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.note(info.Settings)
	}
	return b
}

// note reads what the compiler noted of the clone.
func (b *Build) note(settings []debug.BuildSetting) {
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
}
