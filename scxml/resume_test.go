// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/chartroom/chartroom/scxml"
)

// oven waits ten seconds, and says nothing about outages.
const oven = `<scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:cr="urn:chartroom:chart" version="1.0" datamodel="null">
  <state id="heating"><onentry><send event="hot" delay="10s"/></onentry></state>
</scxml>`

// ovenLit is when sessions of begin start.
var ovenLit = time.Unix(1, 0)

func TestResume(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		resume       scxml.Resumption
		stopped, now time.Duration // after ovenLit
		due          time.Duration
		moved        bool
	}{
		{"nothing said", "", 3 * time.Second, time.Minute, 10 * time.Second, false},
		{"deadline", scxml.ResumeDeadline, 3 * time.Second, time.Minute, 10 * time.Second, false},
		{"remaining", scxml.ResumeRemaining, 3 * time.Second, time.Minute, 67 * time.Second, true},
		{"remaining since the last step", scxml.ResumeRemaining, -time.Hour, time.Minute, 70 * time.Second, true},
		{"remaining when late already", scxml.ResumeRemaining, 12 * time.Second, time.Minute, 58 * time.Second, true},
		{"restart", scxml.ResumeRestart, 3 * time.Second, time.Minute, 70 * time.Second, true},
		{"no time has passed", scxml.ResumeRemaining, 0, 0, 10 * time.Second, false},
		{"the clock went back", scxml.ResumeRemaining, 5 * time.Second, 3 * time.Second, 10 * time.Second, false},
	} {
		ip := begin(t, oven, scxml.Options{Resume: tt.resume})
		before, err := ip.AppendSnapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		moved := ip.Resume(ovenLit.Add(tt.stopped), ovenLit.Add(tt.now))
		if due := ip.Pending()[0].Due.Sub(ovenLit); due != tt.due || moved != tt.moved {
			t.Errorf("%s: due after %s, moved %v, want %s, %v", tt.name, due, moved, tt.due, tt.moved)
		}
		after, err := ip.AppendSnapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		if changed := string(before) != string(after); changed != tt.moved {
			t.Errorf("%s: moved %v, the snapshot changed %v", tt.name, tt.moved, changed)
		}
		again, err := scxml.Restore(ip.Chart(), after)
		if err != nil {
			t.Fatal(err)
		}
		if got := again.Pending()[0]; got.Due.Sub(ovenLit) != tt.due || got.Resume != ip.Pending()[0].Resume {
			t.Errorf("%s: restored as %+v", tt.name, got)
		}
		// What was moved is not moved again for the same outage.
		if again.Resume(time.Time{}, ovenLit.Add(tt.now)) && tt.moved {
			t.Errorf("%s: moved twice", tt.name)
		}
	}
}

func TestResumeOfTheSendComesFirst(t *testing.T) {
	t.Parallel()
	ip := begin(t, `<scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:cr="urn:chartroom:chart" version="1.0" cr:resume="remaining">
  <state id="s"><onentry>
    <send event="a" delay="1s"/><send event="b" delay="1s" cr:resume="restart"/><send event="c" delay="1s" cr:resume="deadline"/>
  </onentry></state>
</scxml>`, scxml.Options{Resume: scxml.ResumeRestart})
	var got []scxml.Resumption
	for _, d := range ip.Pending() {
		got = append(got, d.Resume)
	}
	if want := "[remaining restart ]"; fmt.Sprint(got) != want {
		t.Errorf("resumptions are %v, want %s", got, want)
	}
}

func TestResumeIsChecked(t *testing.T) {
	t.Parallel()
	ip := begin(t, oven, scxml.Options{Resume: "tomorrow"})
	if p := ip.Chart().Problems(); len(p) != 1 || len(ip.Pending()) != 0 {
		t.Errorf("problems %v, pending %v, want one problem and no send", p, ip.Pending())
	}
	saved := `{"v":1,"session":"s","configuration":["heating"],"pending":[{"seq":"1","due":"1","delay":"1","resume":"tomorrow"}]}`
	if _, err := scxml.Restore(ip.Chart(), []byte(saved)); !errors.Is(err, scxml.ErrBadSnapshot) {
		t.Errorf("error %v, want that of a bad snapshot", err)
	}
}
