// SPDX-License-Identifier: AGPL-3.0-or-later

// Package charts holds the charts that come with chartroom. They are files to
// read, fork and push; a program gets them from here, so that it needs no
// files beside it.
//
// All functions are safe for concurrent use.
package charts

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed *.scxml
var documents embed.FS

// Names lists the charts, sorted, without ".scxml".
func Names() []string {
	entries, err := documents.ReadDir(".")
	if err != nil {
		return nil // the root of an embedded file system is always there
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".scxml"))
	}
	return names
}

// Document gives the SCXML document of a chart. The error wraps
// [fs.ErrNotExist] when there is none of that name.
func Document(name string) ([]byte, error) {
	doc, err := documents.ReadFile(name + ".scxml")
	if err != nil {
		return nil, fmt.Errorf("built-in chart %q: %w", name, fs.ErrNotExist)
	}
	return doc, nil
}

// Container is the chart of a container; Helloworld is the first application
// to try. Do not change the bytes: they are shared.
var (
	//go:embed container.scxml
	Container []byte
	//go:embed helloworld.scxml
	Helloworld []byte
)

// All gives every chart by its name. The map and the bytes are the caller's.
func All() map[string][]byte {
	all := map[string][]byte{}
	for _, name := range Names() {
		if doc, err := Document(name); err == nil {
			all[name] = doc
		}
	}
	return all
}
