// SPDX-License-Identifier: Apache-2.0

package scxmlenv

import (
	"net/url"
	"testing"
)

// What an entry of an Access holds, and what only looks like it.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		entry, uri string
		want       bool
	}{
		{"https://host/charts/", "https://host/charts/a.scxml", true},
		{"https://host/charts/", "HTTPS://HOST:443/charts/b/a.scxml?v=1", true},
		{"https://host", "https://host/anything", true},
		{"https://host/a.scxml", "https://host/a.scxml", true},
		{"http://[::1]:80/", "http://[::1]/x", true},
		{"https://host/a.scxml", "https://host/a.scxml/b", false},
		{"https://host/charts/", "https://host/charts", false},
		{"https://host/charts/", "https://host/charts2/a", false},
		{"https://host/charts/", "http://host/charts/a", false},
		{"https://host/charts/", "https://host:8443/charts/a", false},
		{"https://host/charts/", "https://host.evil/charts/a", false},
		{"https://host/charts/", "https://host@evil/charts/a", false},
		{"https://host/charts/", "https://user@host/charts/a", false},
		{"https://host/charts/", "https://evil/https://host/charts/a", false},
		{"https://host/charts/", "https://host/charts/../secret", false},
		{"https://host/charts/", "https://host/charts/%2e%2e/secret", false},
		{"https://host/charts/", "https://host/charts/..%2fsecret", false},
		{"https://host/charts/", "https://host/charts/..%5csecret", false},
		{"https://host/charts/", "https://host//charts/a", false},
		{"https://host/charts/", "/charts/a", false},
		{"https://host/charts/", "https:charts/a", false},
		{"file:///charts/", "file:///charts/a.scxml", true},
		{"file:///charts/", "file:///charts/../etc/passwd", false},
		{"file:///charts/", "file://evil/charts/a.scxml", false},
		{"file:///charts/", "file:charts/a.scxml", false},
	} {
		allowed, err := parsePlaces([]string{test.entry}, "http", "https", "file")
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(test.uri)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := find(allowed, u); (err == nil) != test.want {
			t.Errorf("%s in %s: %v, want %v", test.uri, test.entry, err, test.want)
		}
	}
}
