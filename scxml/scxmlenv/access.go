// SPDX-License-Identifier: Apache-2.0

package scxmlenv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Access says what charts may reach. The zero value allows nothing.
//
// Each entry is a URL: "https://host/charts/" allows all that is below it,
// "https://host/a.scxml" that alone, "https://host" the whole host. For files it
// is "file:///folder/" or "file:///folder/a.scxml"; links that lead out of the
// folder are refused. Scheme, host and port must be the same; host names are
// compared as they are written and not looked up.
type Access struct {
	// Load is what src of <script>, <data> and <invoke> may name. A redirect is
	// followed to where loading is allowed, too, and nowhere else.
	Load []string
	// Send is where <send> of the Basic HTTP event I/O processor may go. The
	// addresses of the sessions themselves are always allowed. Redirects are
	// not followed.
	Send []string
}

// place is an entry of an Access.
type place struct{ scheme, host, path string }

func parsePlaces(entries []string, schemes ...string) ([]place, error) {
	var all []place
	for _, entry := range entries {
		u, err := url.Parse(entry)
		if err != nil {
			return nil, fmt.Errorf("access: %w", err)
		}
		p, err := placeOf(u)
		switch {
		case err != nil:
			return nil, fmt.Errorf("access to %q: %w", entry, err)
		case u.RawQuery != "" || u.Fragment != "":
			return nil, fmt.Errorf("access to %q: a query means nothing here", entry)
		case !slices.Contains(schemes, p.scheme):
			return nil, fmt.Errorf("access to %q: want one of %s", entry, strings.Join(schemes, ", "))
		}
		all = append(all, p)
	}
	return all, nil
}

// placeOf gives the place of a URL that means one place only.
func placeOf(u *url.URL) (place, error) {
	usual := map[string]string{"http": "80", "https": "443"}
	p := place{scheme: strings.ToLower(u.Scheme), path: cmp.Or(u.Path, "/")}
	p.host = net.JoinHostPort(strings.ToLower(u.Hostname()), cmp.Or(u.Port(), usual[p.scheme]))
	clean := path.Clean(p.path)
	if clean != "/" && strings.HasSuffix(p.path, "/") {
		clean += "/"
	}
	switch {
	case p.scheme == "file" && u.Host != "" || p.scheme != "file" && u.Host == "":
		return p, errors.New("it is no URL such as https://host/path or file:///path")
	case u.Opaque != "" || u.User != nil:
		return p, errors.New("it has a user, or no path from the root")
	case clean != p.path || strings.ContainsAny(p.path, "\\\x00"):
		return p, errors.New("its path is not a plain one")
	}
	return p, nil
}

// holds says whether what is at other may be reached by the entry p.
func (p place) holds(other place) bool {
	if p.scheme != other.scheme || p.host != other.host {
		return false
	}
	return p.path == other.path || strings.HasSuffix(p.path, "/") && strings.HasPrefix(other.path, p.path)
}

// find gives the entry that allows u.
func find(allowed []place, u *url.URL) (by, at place, err error) {
	if at, err = placeOf(u); err != nil {
		return by, at, fmt.Errorf("%s: %w", u.Redacted(), err)
	}
	for _, p := range allowed {
		if p.holds(at) {
			return p, at, nil
		}
	}
	return by, at, fmt.Errorf("%s is not allowed", u.Redacted())
}

// load fetches what uri names, limit bytes at most.
func load(ctx context.Context, client *http.Client, allowed []place, limit int64, uri string) ([]byte, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return nil, err
	}
	by, at, err := find(allowed, u)
	if err != nil {
		return nil, err
	}
	if at.scheme == "file" {
		return readFile(by, at, limit)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: status %s", u.Redacted(), response.Status)
	}
	return readAll(response.Body, limit, uri)
}

// readFile reads a file below the folder that by names.
func readFile(by, at place, limit int64) ([]byte, error) {
	folder := by.path
	if !strings.HasSuffix(folder, "/") {
		folder = path.Dir(folder)
	}
	name := strings.TrimPrefix(strings.TrimPrefix(at.path, path.Clean(folder)), "/")
	root, err := os.OpenRoot(filepath.FromSlash(folder))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// Opening a pipe would wait for somebody who writes to it.
	if info, err := root.Stat(filepath.FromSlash(name)); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", at.path)
	}
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, limit, at.path)
}

func readAll(r io.Reader, limit int64, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", name, limit)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}
