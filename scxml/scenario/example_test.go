// SPDX-License-Identifier: Apache-2.0

package scenario_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/chartroom/chartroom/scxml/scenario"
)

// A scenario is played, and what comes out is put below each "----".
func ExamplePlay() {
	folder, err := os.MkdirTemp("", "scenario")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	chart := `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0">
  <state id="off"><transition event="press" target="on"/></state>
  <state id="on"><onentry><send event="timeout" delay="3s"/></onentry><transition event="timeout" target="off"/></state>
</scxml>`
	if err := os.WriteFile(filepath.Join(folder, "lamp.scxml"), []byte(chart), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	story := "# It goes out by itself.\nchart lamp.scxml\nstart\ndeliver press\nadvance 5s\n----\n"
	out, err := scenario.Play(filepath.Join(folder, "lamp.txt"), []byte(story), scenario.Config{}, false)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(string(out))
	// Output:
	// # It goes out by itself.
	// chart lamp.scxml
	// start
	// deliver press
	// advance 5s
	// ----
	// start: enter off
	// configuration: off
	// press: exit off; take off->on on press; enter on; delay send.1 timeout by 3s
	// configuration: on
	// at 3s fire send.1
	// then: raise timeout
	// timeout: exit on; take on->off on timeout; enter off
	// configuration: off
}
