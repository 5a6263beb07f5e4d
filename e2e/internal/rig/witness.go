// SPDX-License-Identifier: AGPL-3.0-or-later

package rig

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

// A Witness counts what an engine does, as the engine tells it. It listens all the
// time, since an engine remembers no more than its last 256 events.
type Witness struct {
	mark func() string // makes a volume, and returns its name

	mu  sync.Mutex
	saw map[string]map[events.Action]int // by instance, else by name
}

// Watch counts what the engine of the environment does from now on.
func Watch(t testing.TB) *Witness {
	t.Helper()
	now := time.Now()
	return watch(t, Engine(t), fmt.Sprintf("%d.%09d", now.Unix(), now.Nanosecond()), func() string { return Volume(t) })
}

// Watch counts what the engine has done since it was started, and does until it ends.
func (e *PrivateEngine) Watch(t testing.TB) *Witness {
	t.Helper()
	c, err := client.New(client.WithHost(e.host()))
	if err != nil {
		t.Fatalf("client of the private engine: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return watch(t, c, "1", func() string { return e.Docker(t, "volume", "create") })
}

func watch(t testing.TB, c *client.Client, since string, mark func() string) *Witness {
	w := &Witness{mark: mark, saw: map[string]map[events.Action]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	stream := c.Events(ctx, client.EventsListOptions{
		Since: since, Filters: make(client.Filters).Add("type", "container", "volume"),
	})
	var listening sync.WaitGroup
	listening.Go(func() {
		for {
			select {
			case m := <-stream.Messages:
				w.count(m)
			case <-stream.Err:
				return
			}
		}
	})
	t.Cleanup(func() { cancel(); listening.Wait() })
	return w
}

func (w *Witness) count(m events.Message) {
	of := cmp.Or(m.Actor.Attributes["chartroom.instance"], m.Actor.Attributes["name"], m.Actor.ID)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.saw[of] == nil {
		w.saw[of] = map[events.Action]int{}
	}
	w.saw[of][m.Action]++
}

// Saw returns how often the engine did what until now, with the containers whose
// label chartroom.instance, or whose name, is the given one.
func (w *Witness) Saw(t testing.TB, name string) map[events.Action]int {
	t.Helper()
	// Events come in order: once this one is told, so are those before it.
	mark := w.mark()
	Eventually(t, 10*time.Second, "the engine has told everything", func() error {
		if len(w.of(mark)) == 0 {
			return fmt.Errorf("volume %s was not told", mark)
		}
		return nil
	})
	return w.of(name)
}

func (w *Witness) of(name string) map[events.Action]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.saw[name])
}
