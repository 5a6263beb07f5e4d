// SPDX-License-Identifier: AGPL-3.0-or-later

package layout

import (
	"embed"
	"encoding/json"
	"strings"
)

// Drawings of the built-in charts, so that nobody waits for them. A drawing
// whose chart has changed is not found by its digest and does no harm.
//
//go:generate go test -run TestDrawn -update .
//go:embed all:drawn
var drawnFiles embed.FS

// drawn finds the drawing that was made beforehand; nil if there is none.
func drawn(digest string) *Drawing {
	b, err := drawnFiles.ReadFile("drawn/" + drawnName(digest))
	if err != nil {
		return nil
	}
	d := &Drawing{}
	if json.Unmarshal(b, d) != nil {
		return nil
	}
	return d
}

func drawnName(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex + ".json"
}
