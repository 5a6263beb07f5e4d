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
