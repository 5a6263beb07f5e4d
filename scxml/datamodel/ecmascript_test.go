// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"strings"
	"testing"
)

// What is wrong is said of the expression as written.
func TestSyntaxErrors(t *testing.T) {
	t.Parallel()
	l := ECMAScript()
	for src, want := range map[string]string{"1 +": "Unexpected end of input", "a b": "Unexpected identifier", "x)": "Unexpected token )", "return": "Illegal return statement"} {
		err := l.Expr(src).Err
		if err == nil || !strings.HasPrefix(err.Error(), "SyntaxError: ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Line") {
			t.Errorf("%q: %v, want SyntaxError: %s", src, err, want)
		}
	}
}
