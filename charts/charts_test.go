// SPDX-License-Identifier: AGPL-3.0-or-later

package charts_test

import (
	"bytes"
	"testing"

	"github.com/chartroom/chartroom/charts"
	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/lint"
	"github.com/chartroom/chartroom/scxml/scxmltest"
)

// Every chart that comes with chartroom compiles without a problem, under the
// name of its file, and lint has nothing to say of it.
func TestChartsCompile(t *testing.T) {
	t.Parallel()
	all := charts.All()
	for name, doc := range all {
		d, err := scxml.Parse(name+".scxml", doc, scxml.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		c, err := scxml.Compile(d, scxml.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range lint.Document(name+".scxml", doc, scxml.Options{}) {
			t.Error(f)
		}
		if c.Name() != name {
			t.Errorf("%s.scxml calls itself %q", name, c.Name())
		}
	}
	if !bytes.Equal(all["container"], charts.Container) || !bytes.Equal(all["helloworld"], charts.Helloworld) {
		t.Error("Container or Helloworld is not what All gives")
	}
}

// The stories in scenarios/, played straight and with a save and restore after
// every command. After a wanted change: go test ./charts -rewrite.
func TestScenarios(t *testing.T) {
	t.Parallel()
	scxmltest.Run(t, "scenarios")
}
