// SPDX-License-Identifier: Apache-2.0

package datamodel_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/chartroom/chartroom/scxml/datamodel"
)

// FuzzData reads whatever text as content, and whatever JSON as canonical data: what
// comes out is the same after it was written and read once more, is normal already,
// and has a form that plain JSON can say.
func FuzzData(f *testing.F) {
	for _, seed := range []string{
		"", "  a\n b ", "null", "-0", "1e21", "0.1", "[1,[2,{}]]", `{"b":1,"a":[null,true]}`, `"\u2028\ud83d\ude00\ud800"`, "\xff",
		`<a xmlns="u"><b c="1">x</b></a>`, "<a>", `{"$":"NaN"}`, `{"$":"-0"}`, `{"$":["<a/>"]}`, `{"$":{"$":2}}`, `{"$":"undefined","x":1}`, `{"$":1}`, "[[[[]]]]", "{} {}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		keeps(t, datamodel.ParseContent(text))
		var v any
		if json.Unmarshal([]byte(text), &v) != nil {
			return
		}
		if read, err := datamodel.FromCanonical(v); err == nil {
			keeps(t, read)
		}
	})
}

// keeps fails if a canonical value is another one after it was saved.
func keeps(t *testing.T, v any) {
	t.Helper()
	saved := datamodel.AppendCanonical(nil, v)
	var raw any
	if err := json.Unmarshal(saved, &raw); err != nil {
		t.Fatalf("%#v is saved as %q: %v", v, saved, err)
	}
	read, err := datamodel.FromCanonical(raw)
	if err != nil {
		t.Fatalf("%q cannot be read: %v", saved, err)
	}
	if again := datamodel.AppendCanonical(nil, read); !bytes.Equal(saved, again) {
		t.Fatalf("%q becomes %q", saved, again)
	}
	normal, err := datamodel.Normalize(v)
	if err != nil {
		return // nested too deeply
	}
	if again := datamodel.AppendCanonical(nil, normal); !bytes.Equal(saved, again) {
		t.Fatalf("%q is not normal: it becomes %q", saved, again)
	}
	if _, err := json.Marshal(datamodel.Plain(v)); err != nil {
		t.Fatalf("%q has no plain form: %v", saved, err)
	}
}
