// SPDX-License-Identifier: AGPL-3.0-or-later

package mux

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// hurried remembers the time that the body of a request was given.
type hurried struct {
	*httptest.ResponseRecorder
	until time.Time
}

func (h *hurried) SetReadDeadline(t time.Time) error {
	h.until = t
	return nil
}

// Who was not let in has a connection for a shorter time than others while he sends no
// body.
func TestStrangersHaveLittleTime(t *testing.T) {
	t.Parallel()
	served := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	g := newGuard("a token of sixteen", true, served, served)
	for _, test := range []struct {
		path, token string
		bounded     bool
	}{
		{"/login", "", true},
		{"/v1/instances", "", true},
		{"/v1/instances", "another token that is wrong", true},
		{"/v1/instances", "a token of sixteen", false},
		{"/healthz", "", true},
	} {
		w := &hurried{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest(http.MethodPost, test.path, strings.NewReader("{}"))
		r.Header.Set("Authorization", "Bearer "+test.token)
		before := time.Now()
		g.ServeHTTP(w, r)
		if bounded := !w.until.IsZero() && w.until.Before(before.Add(bodyTime)); bounded != test.bounded {
			t.Errorf("POST %s with the token %q: a bound is %v, want %v", test.path, test.token, bounded, test.bounded)
		}
	}
}
