// SPDX-License-Identifier: AGPL-3.0-or-later

package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chartroom/chartroom/internal/cli"
)

// blocks are the texts that a page shows in a language.
func blocks(page, language string) []string {
	var out []string
	for _, rest := range strings.Split(page, "\n```"+language+"\n")[1:] {
		text, _, _ := strings.Cut(rest, "\n```")
		out = append(out, text+"\n")
	}
	return out
}

// example is a command of a page, with what it prints there; "…" stands for anything.
type example struct{ command, prints string }

// examples are the commands of a page that call chartroom chart VERB.
func examples(page, verb string) []example {
	var out []example
	for _, b := range blocks(page, "console") {
		command, prints, _ := strings.Cut(b, "\n")
		if strings.HasPrefix(command, "$ ") && strings.Contains(command, "chartroom chart "+verb+" ") {
			out = append(out, example{strings.TrimPrefix(command, "$ "), prints})
		}
	}
	return out
}

func (e example) is(got string) bool {
	words := strings.ReplaceAll(regexp.QuoteMeta(e.prints), "…", ".*")
	return regexp.MustCompile(`\A` + words + `\z`).MatchString(got)
}

// The chart of docs/charts.md is sound, and the commands there print what the page says.
func TestChartsOfTheDocuments(t *testing.T) {
	t.Parallel()
	read, err := os.ReadFile("../../docs/charts.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(read)
	charts := blocks(page, "xml")
	lint, tried, diff := examples(page, "lint"), examples(page, "run"), examples(page, "diff")
	if len(charts) != 1 || len(lint) != 1 || len(tried) != 2 || len(diff) != 1 {
		t.Fatalf("the page has %d charts and examples of lint %v, run %v, diff %v", len(charts), lint, tried, diff)
	}
	const good, bad = `event="wind" target="closed"`, `event="wind" target="nowhere"`
	broken := strings.Replace(charts[0], good, bad, 1)
	if broken == charts[0] {
		t.Fatalf("the chart of the page lacks %s:\n%s", good, charts[0])
	}
	dir := files(t, map[string]string{"door.scxml": charts[0], "broken.scxml": broken})
	door := filepath.Join(dir, "door.scxml")
	if code, stdout, stderr := run(t, nil, "", "chart", "lint", "--strict", door); code != 0 {
		t.Errorf("lint of the chart: exit code %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, _ := run(t, nil, "", "chart", "lint", filepath.Join(dir, "broken.scxml"))
	if said := strings.ReplaceAll(stdout, filepath.Join(dir, "broken.scxml"), "door.scxml"); code != int(cli.Findings) || !lint[0].is(said) {
		t.Errorf("lint of a target that there is not: exit code %d\n got %s\nwant %s", code, said, lint[0].prints)
	}

	// The events are what printf is given, in quotes.
	var events strings.Builder
	given, _, _ := strings.Cut(tried[0].command, " | ")
	for _, e := range regexp.MustCompile(`'(\{.*?\})'`).FindAllStringSubmatch(given, -1) {
		events.WriteString(e[1] + "\n")
	}
	if code, stdout, stderr := run(t, nil, events.String(), "chart", "run", door); code != 0 || !tried[0].is(stdout) {
		t.Errorf("%s: exit code %d\n got %s\nwant %s%s", tried[0].command, code, stdout, tried[0].prints, stderr)
	}

	container, err := os.ReadFile("../../charts/container.scxml")
	if err != nil {
		t.Fatal(err)
	}
	const was, is = `event="restart.due" cond="!managed" target="unattended"`, `event="restart.due" cond="!managed" target="given_up"`
	mine := filepath.Join(files(t, map[string]string{"mine.scxml": strings.Replace(string(container), was, is, 1)}), "mine.scxml")
	if code, stdout, stderr := run(t, nil, "", "chart", "diff", "../../charts/container.scxml", mine); code != 0 || !diff[0].is(stdout) {
		t.Errorf("%s: exit code %d\n got %s\nwant %s%s", diff[0].command, code, stdout, diff[0].prints, stderr)
	}
}
