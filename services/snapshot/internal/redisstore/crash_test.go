// SPDX-License-Identifier: AGPL-3.0-or-later

package redisstore_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chartroom/chartroom/internal/need"
	"github.com/chartroom/chartroom/services/snapshot/internal/redisstore"
	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/chartroom/chartroom/services/snapshot/internal/store/storetest"
	"github.com/redis/go-redis/v9"
)

// server is a redis-server that can be killed and started again on its data.
type server struct {
	cmd    *exec.Cmd
	socket string
}

func startServer(t *testing.T, dir string) *server {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		need.Missing(t, "redis", "redis-server is not installed")
	}
	s := &server{socket: filepath.Join(dir, "redis.sock")}
	s.cmd = exec.Command(program, append([]string{"--port", "0", "--unixsocket", s.socket, "--dir", dir, "--save", ""}, durable...)...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "eady to accept connections") {
			go func() {
				for lines.Scan() { //nolint:revive // drains the log, so that the server never waits for it
				}
			}()
			return s
		}
	}
	t.Fatal("redis-server did not start")
	return nil
}

// kill is kill -9.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// kill -9 of Redis at any moment loses nothing acknowledged and tears nothing,
// and a group whose outcome was unknown is settled by sending it again.
func TestKill(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "chartroom-redis-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var acks storetest.Acks
	var unknown []store.Group
	settled := make(map[store.Status]int)
	for round := range 5 {
		srv := startServer(t, dir)
		s, err := redisstore.Open("redis+unix://"+srv.socket, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range unknown {
			rs, err := s.Commit(t.Context(), []store.Group{g})
			if err != nil || rs[0].Status != store.Applied && rs[0].Status != store.AlreadyApplied {
				t.Errorf("group %d of shard %d again: %+v, %v", g.Number, g.Shard, rs, err)
			}
			settled[rs[0].Status]++
			acks.Add(g.Shard, g.Number)
		}
		fences, next := make(map[uint32]store.Fence), make(map[uint32]uint64)
		for _, shard := range storetest.CrashShards {
			fences[shard] = storetest.Own(t, s, "a", shard)
			if fences[shard].Epoch != uint64(round)+1 {
				t.Errorf("shard %d: epoch %d in round %d", shard, fences[shard].Epoch, round)
			}
			next[shard] = storetest.CheckCrash(t, s, shard, fences[shard], acks.Last(shard)) + 1
		}
		upTo := acks.Count.Load() + 200
		unknown, err = storetest.Hammer(context.Background(), s, fences, next, func(shard uint32, n uint64) {
			acks.Add(shard, n)
			if acks.Count.Load() == upTo {
				_ = srv.cmd.Process.Kill()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		srv.kill()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d groups acknowledged; sent again: %v", acks.Count.Load(), settled)
}

func BenchmarkCommit(b *testing.B) {
	for _, fsync := range []string{"always", "everysec"} {
		b.Run("appendfsync="+fsync, func(b *testing.B) {
			socket := need.Redis(b, "--appendonly", "yes", "--appendfsync", fsync)
			s := openAt(b, "redis+unix://"+socket, store.Options{})
			bare := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, DB: 1})
			defer bare.Close()
			// A pipeline that sets each record and pushes each log entry: no
			// fence, no check, not atomic.
			storetest.Bench(b, s, func(g *store.Group) error {
				pipe := bare.Pipeline()
				for i := range g.Steps {
					st := &g.Steps[i]
					record := append(append(append([]byte(nil), st.Record.View...), st.Record.Session...), st.Record.State...)
					pipe.Set(b.Context(), st.Instance, record, 0)
					for _, l := range st.Log {
						pipe.RPush(b.Context(), "log:"+st.Instance, l.Body)
					}
				}
				_, err := pipe.Exec(b.Context())
				return err
			})
		})
	}
}
