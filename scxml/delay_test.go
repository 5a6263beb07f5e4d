// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"testing"
	"time"
)

// SCXML 6.2.1: a delay is "a time designation as defined in CSS2 format"; the schema
// has m, h and d besides.
func TestParseDelay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "200ms": 200 * time.Millisecond, " 1.5s ": 1500 * time.Millisecond, ".5s": 500 * time.Millisecond,
		"1S": time.Second, "+250MS": 250 * time.Millisecond, "2m": 2 * time.Minute, "1.5h": 90 * time.Minute, "1d": 24 * time.Hour,
	} {
		if got, err := parseDelay(text); err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1", "-1s", "s", ".s", "1..5s", "1 s", "1min", "++1s", "1e3s", "9999999999d", "0x1s"} {
		if got, err := parseDelay(text); err == nil {
			t.Errorf("%q is %v, want an error", text, got)
		}
	}
}

// A nil document, chart or snapshot is an error.
func TestNil(t *testing.T) {
	t.Parallel()
	if _, err := Compile(nil, Options{}); err == nil {
		t.Error("Compile takes no document")
	}
	if _, err := Restore(nil, []byte("{}")); err == nil {
		t.Error("Restore takes no chart")
	}
	if _, _, err := Start(nil, Input{}); err == nil {
		t.Error("Start takes no chart")
	}
}
