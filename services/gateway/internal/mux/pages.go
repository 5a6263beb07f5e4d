// SPDX-License-Identifier: AGPL-3.0-or-later

package mux

import (
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// notBuilt is shown when the dashboard is not in the program.
const notBuilt = "The dashboard is not in this program: it was built without it.\n" +
	"Run `make build` in the repository. The API is here all the same: /openapi.json\n"

// pages serves the dashboard. To a browser's address bar a path without a file is
// the page's own, and gets index.html. Files under assets/ have their digest in their name.
func pages(files fs.FS) http.Handler {
	server := http.FileServerFS(files)
	_, err := fs.Stat(files, "index.html")
	built := err == nil
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		if !built {
			plainText(w, http.StatusNotFound, notBuilt)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			plainText(w, http.StatusMethodNotAllowed, "only GET is offered here")
			return
		}
		name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
		info, err := fs.Stat(files, name)
		switch {
		case strings.HasPrefix(name, "assets/") && err == nil && !info.IsDir():
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		case err != nil && !strings.Contains(r.Header.Get("Accept"), "text/html"):
			plainText(w, http.StatusNotFound, "no such file")
			return
		case name == "" || err != nil || info.IsDir():
			w.Header().Set("Cache-Control", "no-cache")
			http.ServeFileFS(w, r, files, "index.html")
			return
		default:
			w.Header().Set("Cache-Control", "no-cache")
		}
		server.ServeHTTP(w, r)
	})
}

// secure sets what a page may load: its own files, nothing of others.
func secure(h http.Header) {
	h.Set("Content-Security-Policy",
		"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "+
			"frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}
