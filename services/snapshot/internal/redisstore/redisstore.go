// SPDX-License-Identifier: AGPL-3.0-or-later

// Package redisstore keeps the store in Redis (single or Sentinel). Any
// number of processes may use one Redis at once.
//
// A Commit is one call of one script, which Redis runs alone: all groups of
// the call are compared with their shards' fences and numbers and written in
// it. The client never sends anything twice. How durable an answered commit is
// depends on Redis: with appendonly yes and appendfsync always it survives the
// loss of power; with replication it survives what Redis itself promises.
// [Store.Ping] warns when persistence is off and refuses a Redis that evicts.
//
// One goroutine, started by Open and ended by Close, listens for hints of
// other processes' commits; once a second everybody looks anyway, because
// Redis may lose a hint.
package redisstore

import (
	"context"
	"crypto/tls"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// hintChannel carries the shards of a commit, separated by commas.
	hintChannel = "cr:changes"
	// pollInterval is how often watchers look without a hint.
	pollInterval = time.Second
)

var (
	//go:embed commit.lua
	commitSource string
	//go:embed lease.lua
	leaseSource string
	//go:embed chart.lua
	chartSource string
	//go:embed blob.lua
	blobSource string

	commitScript = redis.NewScript(commitSource)
	leaseScript  = redis.NewScript(leaseSource)
	chartScript  = redis.NewScript(chartSource)
	blobScript   = redis.NewScript(blobSource)
)

// Store implements store.Store.
type Store struct {
	opts   store.Options
	client redis.UniversalClient
	hub    store.Hub
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	warned string // the persistence last warned of
}

// Open makes a store of the Redis at address:
//
//	redis://[USER:PASSWORD@]HOST:PORT[/DB]     rediss://… with TLS
//	redis+unix:///PATH[?db=DB]
//	redis-sentinel://[USER:PASSWORD@]HOST:PORT,HOST:PORT/MASTER[/DB]
//	rediss-sentinel://… with TLS
//
// It does not connect yet; [Store.Ping] tells whether Redis answers.
func Open(address string, opts store.Options) (*Store, error) {
	client, err := newClient(address)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Store{opts: opts.WithDefaults(), client: client, cancel: cancel}
	s.wg.Go(func() { s.listen(ctx) })
	return s, nil
}

func newClient(address string) (redis.UniversalClient, error) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return nil, fmt.Errorf("%.20q is no address of a Redis", scheme)
	}
	off := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	if strings.HasSuffix(scheme, "-sentinel") {
		o, err := sentinelOptions(address, scheme == "rediss-sentinel")
		if err != nil {
			return nil, err
		}
		o.MaxRetries, o.ContextTimeoutEnabled, o.DisableIdentity = -1, true, true
		return redis.NewFailoverClient(o), nil
	}
	if scheme == "redis+unix" {
		address = "unix://" + rest
	}
	o, err := redis.ParseURL(address)
	if err != nil {
		return nil, redact(err)
	}
	// A script must never be sent twice behind the caller's back: whether the
	// first arrived is for the group's number to tell.
	o.MaxRetries, o.ContextTimeoutEnabled, o.DisableIdentity = -1, true, true
	o.MaintNotificationsConfig = off
	return redis.NewClient(o), nil
}

// redact keeps passwords out of logs: the error of a URL quotes it.
func redact(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("address of Redis: %w", u.Err)
	}
	return fmt.Errorf("address of Redis: %w", err)
}

func sentinelOptions(address string, secure bool) (*redis.FailoverOptions, error) {
	// Several hosts are no URL: parse it with the first, then add the others.
	scheme, rest, _ := strings.Cut(address, "://")
	authority, path, _ := strings.Cut(rest, "/")
	user, hosts, found := cutLast(authority, "@")
	if !found {
		user, hosts = "", authority
	}
	addrs := strings.Split(hosts, ",")
	u, err := url.Parse(scheme + "://" + user + strings.Repeat("@", min(1, len(user))) + addrs[0] + "/" + path)
	if err != nil {
		return nil, redact(err)
	}
	master, db, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if master == "" {
		return nil, errors.New("address of Redis: a Sentinel needs the master's name as in redis-sentinel://HOST:26379/NAME")
	}
	o := &redis.FailoverOptions{MasterName: master, SentinelAddrs: addrs, Username: u.User.Username()}
	o.Password, _ = u.User.Password()
	o.SentinelPassword = u.Query().Get("sentinel_password")
	if db != "" {
		if o.DB, err = strconv.Atoi(db); err != nil {
			return nil, errors.New("address of Redis: the database is a number")
		}
	}
	if secure {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return o, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.cancel()
	s.wg.Wait()
	if err := s.client.Close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Hub implements store.Store.
func (s *Store) Hub() *store.Hub { return &s.hub }

// listen turns messages of Redis into hints, for as long as ctx lasts.
func (s *Store) listen(ctx context.Context) {
	ps := s.client.Subscribe(ctx, hintChannel)
	defer ps.Close()
	messages := ps.ChannelWithSubscriptions()
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
			s.hub.MarkAll()
		case msg, ok := <-messages:
			if !ok {
				return
			}
			m, ok := msg.(*redis.Message)
			if !ok { // subscribed anew: hints may have been lost
				s.hub.MarkAll()
				continue
			}
			for field := range strings.SplitSeq(m.Payload, ",") {
				if n, err := strconv.ParseUint(field, 10, 32); err == nil && n <= store.ChartShard {
					s.hub.Mark(uint32(n))
				}
			}
		}
	}
}

// fail wraps what the client returned. An answer that begins with ERR is a
// fault of ours; everything else means that Redis cannot serve now, and a
// write may have happened.
func fail(ctx context.Context, err error) error {
	switch e, isReply := errors.AsType[redis.Error](err); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case isReply && strings.Contains(e.Error(), "OOM command not allowed"): // of a script, too
		return full("")
	case isReply && strings.HasPrefix(e.Error(), "ERR "):
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// shardPrefix begins the keys of a shard. Its tag lets a cluster keep sixteen
// groups of shards together.
func shardPrefix(shard uint32) string { return fmt.Sprintf("cr:{%02d}:%03d:", shard%16, shard) }

// Keys of a shard, behind its prefix:
//
//	m            hash    meta: e epoch, n nonce, o owner, a address, x end of lease, g last group, d digest, b bytes of changes
//	v, p         hashes  by instance: view; session snapshot and runtime state
//	g            hash    by instance: "newest oldest cut cut …" of its log
//	k, h         hashes  marks by source, hosts by id
//	l:INSTANCE   stream  log, id = sequence
//	o:INSTANCE   hash    outbox by command: order (8 bytes), body
//	q:INSTANCE   zset    queue by sequence: sequence (8 bytes), body
//	b:INSTANCE   hash    references to bodies
//	x:REQUEST    string  expiry (8 bytes), body; expires
//	c, z         stream  changes, id = group; list of their sizes
//
// Of all shards:
//
//	cr:heads     hash    by shard: "group incarnation"
//	cr:blob:SHA  string  packed body
//	cr:refs      hash    by SHA-256: references
//	cr:free      zset    bodies without one, by last touch
//	cr:charts    hash    by digest NUL name: "number head"
//	cr:chart:D   string  document
func metaKeys(shards []uint32) []string {
	keys := make([]string, len(shards))
	for i, shard := range shards {
		keys[i] = shardPrefix(shard) + "m"
	}
	return keys
}
