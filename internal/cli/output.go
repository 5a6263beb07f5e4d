// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// table is what is shown of a list of messages. Columns from wide on show only
// with -o wide.
type table struct {
	columns []string
	wide    int // how many of the columns are shown always
	rows    [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes messages as asked: json gives {"NAME": [...]} in the names of
// the API, yaml the same, else the table.
func (a *app) print(name string, messages []proto.Message, t table) error {
	switch a.output {
	case "json", "yaml":
		list := make([]any, 0, len(messages))
		for _, m := range messages {
			v, err := plain(m)
			if err != nil {
				return err
			}
			list = append(list, v)
		}
		return a.encode(map[string]any{name: list})
	}
	return writeTable(a.env.Stdout, t, a.output == "wide")
}

// printOne writes one message as json or yaml; it is false when a table is
// wanted, which is the caller's.
func (a *app) printOne(m proto.Message) (bool, error) {
	if a.output != "json" && a.output != "yaml" {
		return false, nil
	}
	v, err := plain(m)
	if err != nil {
		return true, err
	}
	return true, a.encode(v)
}

// plain turns a message into plain values with the API's names.
func plain(m proto.Message) (any, error) {
	b, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return v, nil
}

// encode writes plain values as json or yaml.
func (a *app) encode(v any) error {
	if a.output == "yaml" {
		var b strings.Builder
		writeYAML(&b, v, 0)
		_, err := io.WriteString(a.env.Stdout, b.String())
		return err
	}
	e := json.NewEncoder(a.env.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// encodeAny writes a value of ours as json or yaml, by its JSON names.
func (a *app) encodeAny(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var plain any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&plain); err != nil {
		return err
	}
	return a.encode(plain)
}

// printLines writes rows, a line each, or as json or yaml under a name. With
// found the exit code is the one of findings.
func printLines[T fmt.Stringer](a *app, name string, rows []T, found bool) error {
	if a.output == "json" || a.output == "yaml" {
		if err := a.encodeAny(map[string]any{name: append([]T{}, rows...)}); err != nil {
			return err
		}
	} else {
		for _, row := range rows {
			fmt.Fprintln(a.env.Stdout, printable(row.String()))
		}
	}
	if found {
		return codeError{Findings, errors.New("")}
	}
	return nil
}

// writeTable aligns the columns.
func writeTable(w io.Writer, t table, wide bool) error {
	n := len(t.columns)
	if !wide && t.wide > 0 {
		n = t.wide
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(t.columns[:n], "\t"))
	for _, row := range t.rows {
		cells := slices.Clone(row[:n])
		for i, c := range cells {
			// A cell stays on its line, whatever a container put into it.
			cells[i] = printable(c)
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	return tw.Flush()
}

// printable replaces what would move the cursor of a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// writeYAML writes plain JSON values as YAML: block style, strings quoted as
// JSON (which YAML reads) where they would mean something else.
func writeYAML(b *strings.Builder, v any, depth int) {
	indent := strings.Repeat("  ", depth)
	switch v := v.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			b.WriteString(indent + yamlScalar(k) + ":")
			writeYAMLChild(b, v[k], depth)
		}
	case []any:
		for _, e := range v {
			var item strings.Builder
			switch e.(type) {
			case map[string]any, []any:
				writeYAML(&item, e, depth+1)
				if item.Len() == 0 {
					b.WriteString(indent + "- " + yamlEmpty(e) + "\n")
					continue
				}
				// The first line of the element takes the place of its indent.
				b.WriteString(indent + "- " + strings.TrimPrefix(item.String(), indent+"  "))
			default:
				b.WriteString(indent + "- " + yamlScalar(e) + "\n")
			}
		}
	default:
		b.WriteString(indent + yamlScalar(v) + "\n")
	}
}

func writeYAMLChild(b *strings.Builder, v any, depth int) {
	var child strings.Builder
	switch v.(type) {
	case map[string]any, []any:
		writeYAML(&child, v, depth+1)
		if child.Len() == 0 {
			b.WriteString(" " + yamlEmpty(v) + "\n")
			return
		}
		b.WriteString("\n" + child.String())
	default:
		b.WriteString(" " + yamlScalar(v) + "\n")
	}
}

func yamlEmpty(v any) string {
	if _, ok := v.([]any); ok {
		return "[]"
	}
	return "{}"
}

// yamlScalar writes a value that is neither map nor list.
func yamlScalar(v any) string {
	s, ok := v.(string)
	if !ok {
		out, err := json.Marshal(v)
		if err != nil {
			return "null"
		}
		return string(out)
	}
	bare := s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_./@", r))
	}) < 0 && !strings.ContainsAny(s[:1], "0123456789.@")
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		bare = false
	}
	if bare {
		return s
	}
	out, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(out)
}

// ago writes how long ago a time was, for people.
func ago(t *timestamppb.Timestamp, now time.Time) string {
	if t == nil || !t.IsValid() || t.AsTime().IsZero() {
		return "-"
	}
	d := now.Sub(t.AsTime())
	switch {
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// word turns an enum's name into a word: VERDICT_PROVEN, "VERDICT_" → proven.
func word(name, prefix string) string {
	s := strings.ToLower(strings.TrimPrefix(name, prefix))
	if s == "unspecified" {
		return "-"
	}
	return s
}

// size writes bytes for people.
func size(n uint64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func dash(s string) string { return or(s, "-") }
