// SPDX-License-Identifier: Apache-2.0

package scxmlenv_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/scxmlenv"
)

const doorbell = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
  <state id="quiet">
    <transition event="ring" target="ringing"><log label="at the door" expr="_event.data.who"/></transition>
  </state>
  <state id="ringing">
    <onentry><send event="enough" delay="10ms"/></onentry>
    <transition event="enough" target="answered"/>
  </state>
  <final id="answered"/>
</scxml>`

// A session runs on the real clock and takes an event by HTTP.
func ExampleLive() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	live, err := scxmlenv.NewLive(scxmlenv.LiveConfig{
		Listener: listener,
		Access:   scxmlenv.Access{}, // charts may neither load nor send anything
		Config: scxmlenv.Config{Observe: func(_ *scxmlenv.Session, step scxml.Macrostep) {
			for _, e := range step.Effects {
				if l, ok := e.(scxml.Log); ok {
					fmt.Println(l.Label, l.Value)
				}
			}
			if step.Done != nil {
				fmt.Println("ended in", step.Done.State)
				cancel()
			}
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	chart, err := live.Compile("doorbell.scxml", []byte(doorbell), "")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		err := live.Do(ctx, func(e *scxmlenv.Env) error {
			_, err := e.Start(chart, scxml.Input{SessionID: "door"})
			return err
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		// Anybody may do this, with curl for instance.
		response, err := http.PostForm(live.Address("door"), url.Values{"_scxmleventname": {"ring"}, "who": {"the cat"}})
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = response.Body.Close()
	}()
	if err := live.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// at the door the cat
	// ended in answered
}
