// SPDX-License-Identifier: AGPL-3.0-or-later

package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/chartroom/chartroom/services/snapshot/internal/store"
)

// Ping implements store.Store. It refuses a Redis that evicts keys when its
// memory is full, a replica, and a cluster; and warns once of a persistence
// that loses what was acknowledged. A Redis that has reached its maxmemory is full.
func (s *Store) Ping(ctx context.Context) error {
	info, err := s.info(ctx, "memory", "persistence", "cluster", "replication")
	if err != nil {
		return err
	}
	switch {
	case info["loading"] == "1" || info["role"] == "slave":
		return fmt.Errorf("%w: Redis is loading or a replica", store.ErrUnavailable)
	case info["maxmemory_policy"] != "noeviction":
		return fmt.Errorf("%w: the maxmemory-policy of Redis is %s, which deletes state when memory is full: set maxmemory-policy noeviction", store.ErrUnsafe, info["maxmemory_policy"])
	case info["cluster_enabled"] == "1":
		return fmt.Errorf("%w: this Redis is a cluster, which is not supported: use a single Redis or Sentinel", store.ErrUnsafe)
	}
	s.warn(ctx, info)
	if used, most := info.size("used_memory")-info.size("mem_not_counted_for_evict"), info.size("maxmemory"); most > 0 && used > most {
		return full(fmt.Sprintf(" of %.1f MiB", float64(most)/(1<<20)))
	}
	return nil
}

// full is the error of a Redis without room; of says its bound, where it is known.
func full(of string) error {
	return &store.FullError{
		What: "Redis is full: it has reached its maxmemory" + of + " and takes nothing new",
		Fix:  "give it more, by CONFIG SET maxmemory and in its configuration, or delete from it what is not chartroom's",
	}
}

// facts are lines of INFO.
type facts map[string]string

// size reads a number of bytes; 0 when Redis does not tell it.
func (f facts) size(name string) int64 {
	n, _ := strconv.ParseInt(f[name], 10, 64)
	return n
}

func (s *Store) info(ctx context.Context, sections ...string) (facts, error) {
	out := make(facts)
	for _, section := range sections {
		text, err := s.client.Info(ctx, section).Result()
		if err != nil {
			return nil, fmt.Errorf("ask Redis: %w", fail(ctx, err))
		}
		for line := range strings.Lines(text) {
			if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				out[k] = v
			}
		}
	}
	return out, nil
}

// warn says once what the persistence does not promise.
func (s *Store) warn(ctx context.Context, info facts) {
	// Hosted services forbid CONFIG; then the answer is not known.
	config, _ := s.client.ConfigGet(ctx, "appendfsync").Result()
	save, _ := s.client.ConfigGet(ctx, "save").Result()
	var what string
	switch {
	case info["aof_enabled"] != "1" && save["save"] == "":
		what = "persistence is off: a restart of Redis loses everything; set appendonly yes, appendfsync always"
	case info["aof_enabled"] != "1":
		what = "appendonly is off: a restart of Redis loses what was acknowledged since its last dump; set appendonly yes, appendfsync always"
	case config["appendfsync"] == "no" || config["appendfsync"] == "everysec":
		what = "appendfsync is " + config["appendfsync"] + ": the loss of power loses what was acknowledged last; set appendfsync always"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if what != "" && what != s.warned {
		s.opts.Log.Warn("Redis does not keep all that is acknowledged", "reason", what)
	}
	s.warned = what
}
