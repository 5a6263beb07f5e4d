// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chartroom/chartroom/scxml"
)

// SCXML C.2: content is the body of the message, and arrives as it was.
func TestHTTPContentArrives(t *testing.T) {
	t.Parallel()
	for _, content := range []any{"this is text + more & stuff", "a=b", "100%", "über", []any{1.0, "x"}, map[string]any{"a": true}} {
		send := scxml.Send{Content: true, Type: scxml.BasicHTTPProcessor, Event: scxml.Event{Data: content}}
		contentType, body := send.HTTPBody()
		ev := scxml.HTTPEvent("POST", "/", contentType, body)
		if diff := cmp.Diff(content, ev.Data); diff != "" || ev.Name != "HTTP.POST" {
			t.Errorf("%v as %q (%s): event %s (-want +got)\n%s", content, body, contentType, ev.Name, diff)
		}
	}
}

// SCXML C.2.1: the event that a request stands for.
func TestHTTPEvent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		method, contentType, body, name string
		data                            any
	}{
		{"POST", scxml.FormType, "_scxmleventname=e&a=1&b=x%20y", "e", map[string]any{"a": "1", "b": "x y"}},
		{"POST", scxml.FormType, "a=1&_scxmleventname=first&_scxmleventname=second", "first", map[string]any{"a": "1"}},
		{"POST", scxml.FormType + "; charset=UTF-8", "_scxmleventname=e", "e", nil},
		{"POST", scxml.FormType, "a=1", "HTTP.POST", map[string]any{"a": "1"}},
		{"get", "", "", "HTTP.GET", ""},
		{"POST", "application/json", `{"_scxmleventname": "n", "a": [1]}`, "HTTP.POST", map[string]any{"_scxmleventname": "n", "a": []any{1.0}}},
		{"POST", "text/plain", " some \n text ", "HTTP.POST", "some text"},
	} {
		ev := scxml.HTTPEvent(tt.method, "/", tt.contentType, tt.body)
		if diff := cmp.Diff(tt.data, ev.Data); diff != "" || ev.Name != tt.name || ev.Type != scxml.External {
			t.Errorf("%s %q (%s): %s event %s, want %s (-want +got)\n%s", tt.method, tt.body, tt.contentType, ev.Type, ev.Name, tt.name, diff)
		}
	}
}
