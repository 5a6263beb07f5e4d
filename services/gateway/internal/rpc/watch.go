// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
	"github.com/chartroom/chartroom/services/gateway/internal/readmodel"
)

// Watch implements FleetService.
func (s *Server) Watch(r *fleetv1.WatchRequest, stream grpc.ServerStreamingServer[fleetv1.WatchResponse]) error {
	return s.Follow(stream.Context(), r, func(changes []*fleetv1.WatchResponse) error {
		for _, c := range changes {
			if err := stream.Send(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// Follow gives what a watch selects to send, in order, until ctx ends or send
// fails; the gRPC stream, the WebSocket and server-sent events all come here.
// send is called from this goroutine alone and may block: meanwhile views are
// coalesced. Follow returns nil after it has sent a reset, and errors that
// clients may see.
//
// The log of one instance has no holes: what the read model no longer has is
// read from the store. The log of the whole fleet is reset instead.
func (s *Server) Follow(
	ctx context.Context, r *fleetv1.WatchRequest, send func([]*fleetv1.WatchResponse) error,
) error {
	err := s.follow(ctx, r, send)
	return s.toStatus(ctx, "Watch", err)
}

func (s *Server) follow(
	ctx context.Context, r *fleetv1.WatchRequest, send func([]*fleetv1.WatchResponse) error,
) error {
	sel := readmodel.Selection{Log: r.GetLog()}
	var newest uint64
	if r.GetInstanceId() != "" {
		v, err := s.instance(r.GetInstanceId())
		if err != nil {
			return err
		}
		sel.Instance, newest = v.GetInstanceId(), v.GetLogSequence()
	} else if r.GetAfterLogSequence() != 0 {
		return invalid("after_log_sequence needs instance_id")
	}
	w, err := s.model.Watch(sel, r.GetToken())
	if err != nil {
		return err
	}
	l := logCursor{s: s, instance: sel.Instance}
	if sel.Log && sel.Instance != "" && (r.GetToken() == "" || r.GetAfterLogSequence() != 0) {
		// After the watch has begun, so that nothing falls in between; what
		// comes both ways is told once, by its sequence.
		l.known, l.last = true, r.GetAfterLogSequence()
		if err := l.fill(ctx, 0, newest, send); err != nil {
			return err
		}
	}
	for {
		b, err := w.Next(ctx)
		if err != nil {
			return err
		}
		if b.Reset || b.LogLost && (sel.Instance == "" || !l.known) {
			return send([]*fleetv1.WatchResponse{{Change: &fleetv1.WatchResponse_Reset_{Reset_: true}}})
		}
		if b.LogLost {
			if err := l.fill(ctx, 0, 0, send); err != nil {
				return err
			}
		}
		if err := l.send(ctx, b.Changes, send); err != nil {
			return err
		}
	}
}

// logCursor keeps the log of one instance free of holes and repetitions.
type logCursor struct {
	s        *Server
	instance string // empty: the log of the fleet, which passes as it is
	known    bool   // last is known
	last     uint64 // sequence of the last entry sent
	lastTime time.Time
}

// send passes changes on, leaving out entries that were sent and reading those
// that are missing before an entry.
func (l *logCursor) send(
	ctx context.Context, changes []*fleetv1.WatchResponse, send func([]*fleetv1.WatchResponse) error,
) error {
	if l.instance == "" {
		return sendSome(changes, send)
	}
	out := changes[:0:0]
	for _, c := range changes {
		e := c.GetLog()
		if e == nil {
			out = append(out, c)
			continue
		}
		if l.known && e.GetSequence() <= l.last {
			if !e.GetTime().AsTime().After(l.lastTime) {
				continue
			}
			// An instance that was removed and made again counts from 1 again.
			l.last = 0
		}
		if l.known && e.GetSequence() > l.last+1 {
			if err := sendSome(out, send); err != nil {
				return err
			}
			out = nil
			if err := l.fill(ctx, e.GetSequence(), 0, send); err != nil {
				return err
			}
		}
		l.known, l.last, l.lastTime = true, e.GetSequence(), e.GetTime().AsTime()
		out = append(out, c)
	}
	return sendSome(out, send)
}

func sendSome(changes []*fleetv1.WatchResponse, send func([]*fleetv1.WatchResponse) error) error {
	if len(changes) == 0 {
		return nil
	}
	return send(changes)
}

// fill reads entries after the last from the store, before a sequence (0: no
// bound), and sends them. With enough != 0 it may stop once it is that far.
func (l *logCursor) fill(
	ctx context.Context, before, enough uint64, send func([]*fleetv1.WatchResponse) error,
) error {
	for enough == 0 || l.last < enough {
		resp, err := l.s.store.ListLog(ctx, &snapshotv1.ListLogRequest{
			InstanceId: l.instance, AfterSequence: l.last, BeforeSequence: before, Limit: maxPage,
		})
		if err != nil {
			return err
		}
		var out []*fleetv1.WatchResponse
		for _, e := range resp.GetEntries() {
			if e.GetSequence() > l.last {
				e.SessionSnapshot = nil
				l.last, l.lastTime = e.GetSequence(), e.GetTime().AsTime()
				out = append(out, &fleetv1.WatchResponse{Change: &fleetv1.WatchResponse_Log{Log: e}})
			}
		}
		if err := sendSome(out, send); err != nil {
			return err
		}
		if len(out) == 0 || len(resp.GetEntries()) < maxPage {
			return nil
		}
	}
	return nil
}

// WaitInstance implements FleetService.
//
// An unknown instance satisfies nothing: what was last known of it is no
// answer to what is. A target that runs again after its exit has exited.
func (s *Server) WaitInstance(
	ctx context.Context, r *fleetv1.WaitInstanceRequest,
) (*fleetv1.WaitInstanceResponse, error) {
	v, err := s.instance(r.GetInstanceId())
	if err != nil {
		return nil, err
	}
	if err := s.checkState(ctx, v, r.GetState()); err != nil {
		return nil, err
	}
	outer := ctx
	if t := r.GetTimeout(); t != nil {
		if t.AsDuration() < 0 {
			return nil, invalid("timeout is negative")
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.AsDuration())
		defer cancel()
	}
	w := waiter{s: s, id: v.GetInstanceId(), state: r.GetState()}
	resp, err := w.wait(ctx, v)
	if err != nil && ctx.Err() != nil && outer.Err() == nil {
		what := "its exit"
		if w.state != "" {
			what = "state " + w.state
		}
		return nil, status.Errorf(codes.DeadlineExceeded, "instance %s: %s was not seen within %s",
			w.id, what, r.GetTimeout().AsDuration().Round(time.Millisecond))
	}
	return resp, err
}

// waiter waits for a state or for an exit.
type waiter struct {
	s         *Server
	id, state string
	exitAfter uint64 // an exit counts after this log sequence
}

func (w *waiter) wait(ctx context.Context, v *fleetv1.Instance) (*fleetv1.WaitInstanceResponse, error) {
	running := slices.Contains(v.GetConfiguration(), "started")
	if running || v.GetTarget().GetStartedTime() == nil {
		// An exit of an earlier run does not count.
		w.exitAfter = v.GetLogSequence()
	}
	watcher, err := w.s.model.Watch(readmodel.Selection{Instance: w.id, Log: w.state == ""}, "")
	if err != nil {
		return nil, err
	}
	last := v
	for {
		b, err := watcher.Next(ctx)
		if err != nil {
			return nil, err
		}
		for _, c := range b.Changes {
			if c.GetInstance() != nil {
				last = c.GetInstance()
			}
		}
		if resp, err := w.found(ctx, last); resp != nil || err != nil {
			return resp, err
		}
		if gone := slices.ContainsFunc(b.Changes, func(c *fleetv1.WatchResponse) bool {
			return c.GetRemovedInstanceId() != ""
		}); gone {
			return nil, Refuse(codes.NotFound, fleetv1.Reason_REASON_INSTANCE_UNKNOWN,
				"instance %s was removed", w.id)
		}
	}
}

// found looks whether v is what is waited for.
func (w *waiter) found(ctx context.Context, v *fleetv1.Instance) (*fleetv1.WaitInstanceResponse, error) {
	switch {
	case v.GetUnknown():
		return nil, nil
	case w.state != "":
		if !slices.Contains(v.GetConfiguration(), w.state) {
			return nil, nil
		}
		return &fleetv1.WaitInstanceResponse{Instance: v}, nil
	case v.GetTarget() == nil:
		if !v.GetFinished() {
			return nil, nil
		}
		return &fleetv1.WaitInstanceResponse{Instance: v, Exited: true}, nil
	case v.GetLogSequence() <= w.exitAfter:
		return nil, nil
	}
	code, ok, err := w.exit(ctx)
	if err != nil || !ok {
		return nil, err
	}
	return &fleetv1.WaitInstanceResponse{Instance: v, Exited: true, ExitCode: code}, nil
}

// exit looks for the newest exit in the log after exitAfter.
func (w *waiter) exit(ctx context.Context) (code int32, ok bool, err error) {
	var before uint64
	for {
		resp, err := w.s.store.ListLog(ctx, &snapshotv1.ListLogRequest{
			InstanceId: w.id, AfterSequence: w.exitAfter, BeforeSequence: before, Limit: defaultPage, Descending: true,
		})
		if err != nil {
			return 0, false, err
		}
		for _, e := range resp.GetEntries() {
			if e.GetEvent() != "docker.die" {
				continue
			}
			var data struct {
				ExitCode int32 `json:"exitCode"`
			}
			if e.GetDataJson() != "" {
				if err := json.Unmarshal([]byte(e.GetDataJson()), &data); err != nil {
					w.s.logger.WarnContext(ctx, "exit code is not readable",
						"instance", w.id, "sequence", e.GetSequence(), "err", err)
				}
			}
			return data.ExitCode, true, nil
		}
		n := len(resp.GetEntries())
		if n < defaultPage {
			return 0, false, nil
		}
		before = resp.GetEntries()[n-1].GetSequence()
	}
}
