// SPDX-License-Identifier: AGPL-3.0-or-later

package cli_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/chartroom/chartroom/internal/cli"
)

func TestPushRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	const (
		dead  = `<transition event="open" target="ajar"/></state>`
		admit = "<scxml xmlns:cr=\"urn:chartroom:chart\" "
	)
	door := func(old, replacement string) string { return strings.Replace(doorChart, old, replacement, 1) }
	dir := files(t, map[string]string{
		"good.scxml":    doorChart,
		"expr.scxml":    door(`expr="0"`, `expr="0 +"`),
		"delay.scxml":   door(`delay="2s"`, `delay="20 sec"`),
		"admit.scxml":   strings.Replace(door(`<state id="ajar"`, `<state id="ajar" cr:admit="maybe"`), "<scxml ", admit, 1),
		"dead.scxml":    door("</state>", dead),
		"warning.scxml": door(`<send `, `<cancel sendid="nothing"/><send `),
		"syntax.scxml":  door(`target="pass"`, `target="nowhere"`),
	})
	for _, test := range []struct {
		file   string
		force  bool
		stored bool
		says   string // in stderr; empty for nothing at all
	}{
		{"good.scxml", false, true, ""},
		{"expr.scxml", false, false, "expr.scxml:2:14: error: "},
		{"expr.scxml", true, true, "expr.scxml:2:14: error: "},
		{"delay.scxml", false, false, "delay.scxml:7:14: error: "},
		{"admit.scxml", false, false, `admit.scxml:6:3: error: admit "maybe"`},
		{"dead.scxml", false, true, "dead.scxml:5:"},
		{"warning.scxml", false, true, "warning.scxml:7:14: warning: "},
		// The server refuses it; this one takes all.
		{"syntax.scxml", false, true, ""},
	} {
		f := &fleet{}
		args := []string{"chart", "push", filepath.Join(dir, test.file)}
		if test.force {
			args = append(args, "--force")
		}
		code, _, fault := run(t, f, "", args...)
		want := cli.OK
		if !test.stored {
			want = cli.Usage
		}
		if code != int(want) || (f.last != nil) != test.stored {
			t.Errorf("%v: exit code %d, stored: %v (%s)", args[2:], code, f.last != nil, fault)
		}
		if !strings.Contains(fault, test.says) || (fault == "") != (test.says == "") {
			t.Errorf("%v: it says %q, want %q", args[2:], fault, test.says)
		}
		if strings.Contains(fault, "--force") == test.stored {
			t.Errorf("%v: it offers --force, or not: %q", args[2:], fault)
		}
	}
	f := &fleet{}
	if code, _, fault := run(t, f, "", "run", filepath.Join(dir, "expr.scxml")); code != int(cli.Usage) || f.last != nil {
		t.Errorf("run of a chart that cannot work: exit code %d (%s), asked: %v", code, fault, f.last)
	}
}

func TestPushTakesTheChartsOfThisRepository(t *testing.T) {
	t.Parallel()
	charts, err := filepath.Glob("../../charts/*.scxml")
	if err != nil || len(charts) < 4 {
		t.Fatalf("charts: %v, %v", charts, err)
	}
	for _, chart := range charts {
		if code, _, fault := run(t, &fleet{}, "", "chart", "push", chart); code != 0 || fault != "" {
			t.Errorf("%s: exit code %d: %s", chart, code, fault)
		}
	}
}
