// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"math"
	"testing"

	"github.com/dop251/goja"
	"pgregory.net/rapid"
)

// The text of a number is what ECMAScript makes of it.
func TestNumberText(t *testing.T) {
	t.Parallel()
	vm := goja.New()
	check := func(t interface{ Errorf(string, ...any) }, f float64) {
		if got, want := NumberText(f), vm.ToValue(f).String(); got != want {
			t.Errorf("%b: got %s, want %s", f, got, want)
		}
	}
	for _, f := range []float64{
		0, math.Copysign(0, -1), 1, -1, 0.5, 1234567, 1e6, 1e20, 1e21, -1e21, 1.5e300, 1e-6, 1e-7, -1.25e-7, 123456789012345680000,
		math.MaxFloat64, math.SmallestNonzeroFloat64, math.NaN(), math.Inf(1), math.Inf(-1), 1 << 53,
	} {
		check(t, f)
	}
	rapid.Check(t, func(t *rapid.T) { check(t, math.Float64frombits(rapid.Uint64().Draw(t, "bits"))) })
}
