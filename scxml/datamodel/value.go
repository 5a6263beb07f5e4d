// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds the nesting of values.
const maxDepth = 256

// Normalize copies v into canonical form. It accepts canonical values, all Go
// numbers, json.Number, and slices and maps of them; everything else is an error.
func Normalize(v any) (any, error) { return normalize(v, 0) }

func normalize(v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("data is nested too deeply")
	}
	switch v := v.(type) {
	case nil, bool, float64, Undefined:
		return v, nil
	case string:
		return strings.ToValidUTF8(v, "\uFFFD"), nil
	case XML:
		return v, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			n, err := normalize(e, depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = n
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			n, err := normalize(e, depth+1)
			if err != nil {
				return nil, err
			}
			out[k] = n
		}
		return out, nil
	case int:
		return float64(v), nil
	case int64:
		return float64(v), nil
	case int32:
		return float64(v), nil
	case uint64:
		return float64(v), nil
	case uint32:
		return float64(v), nil
	case uint:
		return float64(v), nil
	case float32:
		return float64(v), nil
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("number %q: %w", v, err)
		}
		return f, nil
	case []string:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = e
		}
		return out, nil
	case map[string]string:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = e
		}
		return out, nil
	default:
		return nil, fmt.Errorf("%T is not JSON data", v)
	}
}

// Plain copies a canonical value into what JSON can say: undefined members are
// left out, other undefined values and numbers without a JSON form become nil,
// -0 becomes 0. XML stays, and marshals as its text.
func Plain(v any) any {
	switch v := v.(type) {
	case Undefined, NullValue:
		return nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		if v == 0 {
			return float64(0)
		}
		return v
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = Plain(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if _, undefined := e.(Undefined); !undefined {
				out[k] = Plain(e)
			}
		}
		return out
	default:
		return v
	}
}

// IsPlain says that [Plain] would change nothing.
func IsPlain(v any) bool {
	switch v := v.(type) {
	case Undefined, NullValue:
		return false
	case float64:
		return !math.IsNaN(v) && !math.IsInf(v, 0) && (v != 0 || !math.Signbit(v))
	case []any:
		for _, e := range v {
			if !IsPlain(e) {
				return false
			}
		}
	case map[string]any:
		for _, e := range v {
			if !IsPlain(e) {
				return false
			}
		}
	}
	return true
}

// AppendCanonical appends the canonical bytes of a canonical value: JSON with
// sorted keys. What JSON does not know is an object with the one key "$":
//
//	{"$":"undefined"} {"$":"NaN"} {"$":"Infinity"} {"$":"-Infinity"} {"$":"-0"}
//	{"$":["<xml/>"]}       XML
//	{"$":{"$":value}}      an object whose one key is "$"
func AppendCanonical(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil, NullValue:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case float64:
		return appendNumber(dst, v)
	case string:
		return AppendString(dst, v)
	case Undefined:
		return append(dst, `{"$":"undefined"}`...)
	case XML:
		dst = append(dst, `{"$":[`...)
		dst = AppendString(dst, string(v))
		return append(dst, "]}"...)
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendCanonical(dst, e)
		}
		return append(dst, ']')
	case map[string]any:
		if len(v) == 1 {
			if inner, ok := v["$"]; ok {
				dst = append(dst, `{"$":{"$":`...)
				dst = AppendCanonical(dst, inner)
				return append(dst, "}}"...)
			}
		}
		dst = append(dst, '{')
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendString(dst, k)
			dst = append(dst, ':')
			dst = AppendCanonical(dst, v[k])
		}
		return append(dst, '}')
	default:
		// Only canonical values get here; anything else is our own mistake.
		panic(fmt.Sprintf("datamodel: %T is not canonical", v))
	}
}

func appendNumber(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `{"$":"NaN"}`...)
	case math.IsInf(f, 1):
		return append(dst, `{"$":"Infinity"}`...)
	case math.IsInf(f, -1):
		return append(dst, `{"$":"-Infinity"}`...)
	case f == 0 && math.Signbit(f):
		return append(dst, `{"$":"-0"}`...)
	case f == math.Trunc(f) && math.Abs(f) < 1e15:
		return strconv.AppendInt(dst, int64(f), 10)
	default:
		return strconv.AppendFloat(dst, f, 'g', -1, 64)
	}
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string, with no more escapes than needed.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r < 0x20 || r == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// FromCanonical turns the result of json.Unmarshal on canonical bytes back into
// a canonical value.
func FromCanonical(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, float64, string:
		return v, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			c, err := FromCanonical(e)
			if err != nil {
				return nil, err
			}
			out[i] = c
		}
		return out, nil
	case map[string]any:
		if len(v) == 1 {
			if inner, ok := v["$"]; ok {
				return fromSpecial(inner)
			}
		}
		out := make(map[string]any, len(v))
		for k, e := range v {
			c, err := FromCanonical(e)
			if err != nil {
				return nil, err
			}
			out[k] = c
		}
		return out, nil
	default:
		return nil, fmt.Errorf("%T is not JSON", v)
	}
}

func fromSpecial(v any) (any, error) {
	switch v := v.(type) {
	case string:
		switch v {
		case "undefined":
			return Undefined{}, nil
		case "NaN":
			return math.NaN(), nil
		case "Infinity":
			return math.Inf(1), nil
		case "-Infinity":
			return math.Inf(-1), nil
		case "-0":
			return math.Copysign(0, -1), nil
		}
	case []any:
		if len(v) == 1 {
			if s, ok := v[0].(string); ok {
				return XML(s), nil
			}
		}
	case map[string]any:
		if inner, ok := v["$"]; ok && len(v) == 1 {
			c, err := FromCanonical(inner)
			if err != nil {
				return nil, err
			}
			return map[string]any{"$": c}, nil
		}
	}
	return nil, errors.New("unknown special value")
}

// ParseContent reads the text of <data>, <content> or an answer after SCXML
// B.2.8.1: JSON if it is JSON, else XML if it is a well-formed element, else the
// text with white space normalised.
func ParseContent(text string) any {
	trimmed := strings.TrimSpace(strings.ToValidUTF8(text, "\uFFFD"))
	if trimmed == "" {
		return ""
	}
	var v any
	if err := json.Unmarshal([]byte(trimmed), &v); err == nil {
		if n, err := Normalize(v); err == nil {
			return n
		}
	}
	if strings.HasPrefix(trimmed, "<") {
		if _, err := parseXML(trimmed); err == nil {
			return XML(trimmed)
		}
	}
	return strings.Join(strings.Fields(trimmed), " ")
}

// NumberText is the text of a number in ECMAScript (ECMA-262, Number::toString).
func NumberText(f float64) string {
	switch abs := math.Abs(f); {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 0):
		return strings.TrimPrefix(strings.Replace(fmt.Sprint(f), "Inf", "Infinity", 1), "+")
	case f == 0:
		return "0"
	case abs >= 1e21 || abs < 1e-6:
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
		return mantissa + "e" + exponent[:1] + strings.TrimLeft(exponent[1:], "0")
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}
