// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway_test

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chartroom/chartroom/proto"
)

// fields of the OpenAPI 2.0 description that the table of paths is made of.
type (
	schema struct {
		Ref        string            `json:"$ref"`
		Properties map[string]schema `json:"properties"`
	}
	parameter struct {
		Name   string `json:"name"`
		In     string `json:"in"`
		Schema schema `json:"schema"`
	}
	description struct {
		Paths map[string]map[string]struct {
			Parameters []parameter `json:"parameters"`
		} `json:"paths"`
		Definitions map[string]schema `json:"definitions"`
	}
)

// takes are the names of what a call takes beside its path, sorted.
func (d description) takes(parameters []parameter) []string {
	var names []string
	for _, p := range parameters {
		switch p.In {
		case "query":
			names = append(names, p.Name)
		case "body":
			of := d.Definitions[strings.TrimPrefix(p.Schema.Ref, "#/definitions/")]
			names = slices.AppendSeq(names, maps.Keys(of.Properties))
		}
	}
	slices.Sort(names)
	return names
}

// TestPathsAreListed: the table of docs/gateway.md has each path of the OpenAPI
// description, with what it takes, and no other.
func TestPathsAreListed(t *testing.T) {
	t.Parallel()
	var d description
	if err := json.Unmarshal(proto.OpenAPI(), &d); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for path, methods := range d.Paths {
		for method, call := range methods {
			want[strings.ToUpper(method)+" "+path] = d.takes(call.Parameters)
		}
	}
	page, err := os.ReadFile("../../docs/gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.Contains(cells[1], " /v1/") {
			continue
		}
		names := strings.FieldsFunc(cells[2], func(r rune) bool { return strings.ContainsRune("`, ", r) })
		slices.Sort(names)
		call := strings.Trim(cells[1], " `")
		if _, twice := got[call]; twice || strings.TrimSpace(cells[3]) == "" {
			t.Errorf("%s is listed twice, or without a word", call)
		}
		got[call] = names
	}
	if diff := cmp.Diff(want, got, cmp.Transformer("list", func(s []string) string { return strings.Join(s, " ") })); diff != "" {
		t.Errorf("docs/gateway.md (-OpenAPI +page):\n%s", diff)
	}
}
