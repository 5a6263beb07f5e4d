// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"fmt"
	"strings"
)

// wordsShown bounds, in characters, what a summary repeats of the application; the
// data of the entry has all of it.
const wordsShown = 200

// words is what the application said of itself, as a sentence: that it refused an
// event, sent one out, or reports a fault, or is not ready. It is empty for everything else.
func words(s stimulus) string {
	if s.origin != "observation" {
		return ""
	}
	data, _ := s.data.(map[string]any)
	switch s.event {
	case "app.answer":
		if message, _ := data["error"].(string); message != "" {
			return fmt.Sprintf("The application refused event %d: %s", number(data["sequence"]), closed(clip(message)))
		}
	case "app.event":
		name, _ := data["name"].(string)
		return closed(strings.TrimSpace(fmt.Sprintf("The application sent out %q %s", clip(name), clip(string(encode(data["data"]))))))
	case "app.error":
		if message, _ := data["message"].(string); message != "" {
			return "The application reports: " + closed(clip(message))
		}
	case "app.unready":
		if message, _ := data["message"].(string); message != "" {
			return "Not ready yet: " + closed(clip(message))
		}
	}
	return ""
}

// clip shortens text to wordsShown characters.
func clip(text string) string {
	n := 0
	for at := range text {
		if n == wordsShown {
			return text[:at] + "…"
		}
		n++
	}
	return text
}

// closed is text with a full stop, unless it ends like a sentence already.
func closed(text string) string {
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "!") || strings.HasSuffix(text, "?") || strings.HasSuffix(text, "…") {
		return text
	}
	return text + "."
}
