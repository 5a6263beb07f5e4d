// SPDX-License-Identifier: AGPL-3.0-or-later

// Package dashboard holds the page that gateway serves: what `make build` made
// from the TypeScript beside it. In a checkout that was never built there is
// only the note of dist/README.txt.
package dashboard

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var files embed.FS

// Files is the built page. It holds no index.html when the page was not built;
// then the server says how to build it. Safe for concurrent use.
func Files() fs.FS {
	dist, err := fs.Sub(files, "dist")
	if err != nil {
		panic(err) // dist is what go:embed names above.
	}
	return dist
}
