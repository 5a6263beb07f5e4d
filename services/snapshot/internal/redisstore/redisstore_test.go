// SPDX-License-Identifier: AGPL-3.0-or-later

package redisstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/chartroom/chartroom/internal/need"
	"github.com/chartroom/chartroom/services/snapshot/internal/redisstore"
	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/chartroom/chartroom/services/snapshot/internal/store/storetest"
	"github.com/redis/go-redis/v9"
)

var durable = []string{"--appendonly", "yes", "--appendfsync", "always"}

func openAt(t testing.TB, address string, o store.Options) *redisstore.Store {
	t.Helper()
	s, err := redisstore.Open(address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	socket := need.Redis(t, append(durable, "--databases", "2000")...)
	var mu sync.Mutex
	db := 0
	storetest.Run(t, func(t testing.TB, o store.Options) store.Store {
		// An empty store is a database of its own. Hints of the others arrive
		// too: a hint without a change must do no harm.
		mu.Lock()
		defer mu.Unlock()
		db++
		return openAt(t, fmt.Sprintf("redis+unix://%s?db=%d", socket, db-1), o)
	})
}

// Several processes serve one Redis: what one commits, a watch at the other
// sees.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	address := "redis+unix://" + need.Redis(t, durable...)
	a, b := openAt(t, address, store.Options{}), openAt(t, address, store.Options{})
	f := storetest.Own(t, a, "a", 1)
	started, done := make(chan struct{}), errors.New("done")
	go func() {
		<-started
		if _, err := a.Commit(t.Context(), []store.Group{{Shard: 1, Fence: f, Number: 1, Steps: []store.Step{storetest.Put("i", "1")}}}); err != nil {
			t.Error(err)
		}
	}()
	var once sync.Once
	err := store.Watch(t.Context(), b, nil, 1e7, func(cs []store.Change, _ *store.Token) error {
		once.Do(func() { close(started) })
		if len(cs) > 0 {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Error(err)
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		arguments []string
		want      error
		warning   string
	}{
		{"durable", durable, nil, ""},
		{"no persistence", nil, nil, "persistence is off"},
		{"dumps only", []string{"--save", "3600 1"}, nil, "appendonly is off"},
		{"every second", []string{"--appendonly", "yes", "--appendfsync", "everysec"}, nil, "appendfsync is everysec"},
		{"evicting", append([]string{"--maxmemory-policy", "allkeys-lru"}, durable...), store.ErrUnsafe, ""},
		{"evicting volatile keys", append([]string{"--maxmemory-policy", "volatile-ttl"}, durable...), store.ErrUnsafe, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			socket := need.Redis(t, tt.arguments...)
			var said bytes.Buffer
			s := openAt(t, "redis+unix://"+socket, store.Options{Log: slog.New(slog.NewTextHandler(&said, nil))})
			for range 2 {
				if err := s.Ping(t.Context()); !errors.Is(err, tt.want) {
					t.Errorf("ping: %v, want %v", err, tt.want)
				}
			}
			if n := strings.Count(said.String(), "\n"); tt.warning == "" && n != 0 || tt.warning != "" && (n != 1 || !strings.Contains(said.String(), tt.warning)) {
				t.Errorf("said %q, want %q once", said.String(), tt.warning)
			}
		})
	}
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	s := openAt(t, "redis+unix:///nowhere/redis.sock", store.Options{})
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}
	_, err := s.Commit(t.Context(), []store.Group{{Shard: 1, Fence: store.Fence{Nonce: "n"}, Number: 1}})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("commit: %v", err)
	}
}

// A Redis that is full refuses a group whole.
func TestFull(t *testing.T) {
	t.Parallel()
	socket := need.Redis(t, durable...)
	s := openAt(t, "redis+unix://"+socket, store.Options{})
	f := storetest.Own(t, s, "a", 1)
	group := store.Group{Shard: 1, Fence: f, Number: 1, Steps: []store.Step{storetest.Put("i", "1"), storetest.Put("j", "1")}}
	admin := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	defer admin.Close()
	if err := s.Ping(t.Context()); err != nil {
		t.Fatalf("with room: %v", err)
	}
	if err := admin.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	_, refused := s.Commit(t.Context(), []store.Group{group})
	for call, err := range map[string]error{"commit": refused, "ping": s.Ping(t.Context())} {
		if full, ok := errors.AsType[*store.FullError](err); !ok || !errors.Is(err, store.ErrUnavailable) || !strings.Contains(full.Error(), "maxmemory") {
			t.Fatalf("%s: %v, want that Redis has reached its maxmemory", call, err)
		}
	}
	if err := admin.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	rs, err := s.Commit(t.Context(), []store.Group{group})
	if err != nil || rs[0].Status != store.Applied {
		t.Errorf("afterwards: %+v, %v", rs, err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"redis://127.0.0.1:6379", "redis://u:p@redis:6379/3", "rediss://redis:6380", "redis+unix:///run/redis.sock",
		"redis-sentinel://a:26379,b:26379/main", "rediss-sentinel://u:p%40ss@a:26379,b:26379,c:26379/main/2",
	} {
		s, err := redisstore.Open(good, store.Options{})
		if err != nil {
			t.Errorf("%s: %v", good, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"redis", "http://redis:6379", "redis-sentinel://a:26379", "redis-sentinel://a:26379/main/x", "redis://u:secret@redis:port"} {
		s, err := redisstore.Open(bad, store.Options{})
		if err == nil {
			t.Errorf("%s was taken", bad)
			s.Close()
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}
