// SPDX-License-Identifier: AGPL-3.0-or-later

package transport

import (
	"fmt"
	"strings"
)

// advices are what is said when an end does not speak, or two do not trust each other
// in the same way, and what to do. The first that fits holds.
var advices = []struct{ said, do string }{
	{"use of closed network connection", "it takes connections and says nothing: see whether it hangs or is stopped, and whether it is a server of chartroom"},
	{"error reading server preface", "a server with TLS is dialled without: name the directory that chartroom init made, by --tls-dir or CHARTROOM_TLS_DIR"},
	{"first record does not look like a TLS handshake", "a server without TLS is dialled with: start it with --tls-dir, too, or this without"},
	{"certificate signed by unknown authority", "the server's certificate is of another authority: all must name the directory of one chartroom init"},
}

// Advice says what to do about an error of a connection, where it is known; else it
// is empty.
func Advice(err error) string {
	if err == nil {
		return ""
	}
	for _, a := range advices {
		if strings.Contains(err.Error(), a.said) {
			return a.do
		}
	}
	return ""
}

// Advised is err with its advice, if there is any.
func Advised(err error) error {
	if advice := Advice(err); advice != "" {
		return fmt.Errorf("%w: %s", err, advice)
	}
	return err
}
