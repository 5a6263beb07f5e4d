// SPDX-License-Identifier: Apache-2.0

package scxmlenv_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chartroom/chartroom/scxml/scxmlenv"
)

// write puts files into a folder and gives its URL.
func write(t *testing.T, files map[string]string) (folder, url string) {
	t.Helper()
	folder = t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Join(folder, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder, "file://" + filepath.ToSlash(folder) + "/"
}

func invoking(src string) string {
	return `<state id="s"><invoke id="c" src="` + src + `"/>` + telling + `</state>`
}

func TestLiveLoads(t *testing.T) {
	t.Parallel()
	child := func(content string) string {
		return string(document(`<script src="lib/two.js"/><datamodel><data id="d" src="data.json"/></datamodel>` +
			`<final id="f"><donedata><content expr="[two(), d, ` + content + `]"/></donedata></final>`))
	}
	files := map[string]string{
		"child.scxml": child("'file'"), "lib/two.js": "function two() { return 2 }", "data.json": `{"x":1}`,
		"doctype.scxml": `<!DOCTYPE scxml [<!ENTITY x "y">]>` + child("1"), "broken.scxml": "<scxml", "long.scxml": strings.Repeat(" ", 5000),
		"sub/other.scxml": child("1"),
	}
	folder, base := write(t, files)
	_, outside := write(t, map[string]string{"secret.scxml": child("'secret'")})
	if err := os.Symlink(strings.TrimPrefix(outside, "file://")+"secret.scxml", filepath.Join(folder, "link.scxml")); err != nil {
		t.Fatal(err)
	}
	var server *httptest.Server
	mux := http.NewServeMux()
	mux.HandleFunc("/out", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/secret/child.scxml", http.StatusFound)
	})
	mux.HandleFunc("/in", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/charts/child.scxml", http.StatusFound)
	})
	mux.Handle("/charts/", http.StripPrefix("/charts/", http.FileServer(http.Dir(folder))))
	mux.HandleFunc("/secret/", func(http.ResponseWriter, *http.Request) { t.Error("what is not allowed was asked for") })
	server = httptest.NewServer(mux)
	t.Cleanup(server.Close)
	r := run(t, scxmlenv.LiveConfig{
		Config:   scxmlenv.Config{Base: base},
		Access:   scxmlenv.Access{Load: []string{base, server.URL + "/charts/", server.URL + "/in", server.URL + "/out"}},
		MaxBytes: 4000,
	})
	for i, test := range []struct{ src, want string }{
		{"child.scxml", `got done.invoke.c c [2,{"x":1},"file"]`},
		{"file:child.scxml", `got done.invoke.c`},
		{base + "child.scxml", `got done.invoke.c`},
		{server.URL + "/charts/child.scxml", `got done.invoke.c c [2,{"x":1},"file"]`},
		{server.URL + "/in", "/lib/two.js is not allowed"}, // the script is beside /in, where nothing may be loaded
		{server.URL + "/out", "is not allowed"},
		{server.URL + "/secret/child.scxml", "is not allowed"},
		{server.URL + "/charts/../secret/child.scxml", "is not allowed"},
		{server.URL + "/charts/nothing.scxml", "404"},
		{"../secret.scxml", "is not allowed"},
		{"%2e%2e/secret.scxml", "not a plain one"},
		{"link.scxml", "error.communication c"},
		{"lib", "is not a file"},
		{outside + "secret.scxml", "is not allowed"},
		{"doctype.scxml", "DOCTYPE"},
		{"broken.scxml", "broken.scxml:1"},
		{"long.scxml", "longer than 4000 bytes"},
		{"sub/other.scxml", "lib/two.js"}, // relative to where it came from
	} {
		r.start(fmt.Sprint("s", i), invoking(test.src))
		r.says(test.want)
	}
}

// Whatever src names is refused as long as nothing was allowed.
func TestLiveLoadsNothingByDefault(t *testing.T) {
	t.Parallel()
	_, base := write(t, map[string]string{"child.scxml": string(document(`<final id="f"/>`))})
	r := run(t, scxmlenv.LiveConfig{Config: scxmlenv.Config{Base: base}})
	r.start("s", invoking("child.scxml"))
	r.says("is not allowed")
	if _, err := r.Compile("x", document(`<script src="child.scxml"/><state id="s"/>`), ""); err == nil || !strings.Contains(err.Error(), "is not allowed") {
		t.Errorf("a script: %v", err)
	}
}

func TestAccessIsChecked(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ entry, want string }{
		{"charts/", "no URL"}, {"file:charts/", "path from the root"}, {"https://user@host/", "a user"}, {"https://host/?a", "a query"},
		{"https://host/a/../b", "plain"}, {"ftp://host/", "want one of"}, {"file://host/a", "no URL"}, {"https:///a", "no URL"},
	} {
		_, err := scxmlenv.NewLive(scxmlenv.LiveConfig{Access: scxmlenv.Access{Load: []string{test.entry}}})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.entry, err, test.want)
		}
	}
	if _, err := scxmlenv.NewLive(scxmlenv.LiveConfig{Access: scxmlenv.Access{Send: []string{"file:///a"}}}); err == nil {
		t.Error("files can be sent to")
	}
}
