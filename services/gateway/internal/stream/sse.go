// SPDX-License-Identifier: AGPL-3.0-or-later

package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"github.com/chartroom/chartroom/services/gateway/internal/rpc"
)

// keepAlive is how often an idle stream says that it is alive.
const keepAlive = 15 * time.Second

// Events serves a watch as server-sent events. The query is a WatchRequest:
// instance_id, log, token, after_log_sequence; the header Last-Event-ID, which
// browsers send when they connect again, is taken for the token. The name of
// an event is that of the field of WatchResponse, its data the whole message.
func Events(fleet Fleet, logger *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, err := watchRequest(r)
		if err != nil {
			WriteError(w, rpc.Refuse(codes.InvalidArgument, fleetv1.Reason_REASON_ARGUMENT_INVALID, "%v", err))
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		e := &events{w: w, c: http.NewResponseController(w)}
		var alive sync.WaitGroup
		alive.Go(func() {
			for pause(ctx, keepAlive) == nil {
				if e.write(func() error { return e.raw(": alive\n\n") }) != nil {
					cancel()
				}
			}
		})
		defer alive.Wait()
		defer cancel()
		err = fleet.Follow(ctx, req, func(changes []*fleetv1.WatchResponse) error {
			if err := e.write(func() error { return e.changes(changes) }); err != nil {
				return err
			}
			return gatherMore(ctx, len(changes))
		})
		switch {
		case ctx.Err() != nil || err == nil:
		case e.begun():
			logger.DebugContext(ctx, "event stream ended", "err", err)
		default:
			WriteError(w, err)
		}
	})
}

// WriteError answers a request with an error that clients may see.
func WriteError(w http.ResponseWriter, err error) {
	body := rpc.NewBody(err)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if s := body.RetryAfter(); s > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(s))
	}
	w.WriteHeader(rpc.HTTPStatus(err))
	_ = json.NewEncoder(w).Encode(body)
}

func watchRequest(r *http.Request) (*fleetv1.WatchRequest, error) {
	q := r.URL.Query()
	get := func(snake, camel string) string {
		if v := q.Get(snake); v != "" {
			return v
		}
		return q.Get(camel)
	}
	req := &fleetv1.WatchRequest{InstanceId: get("instance_id", "instanceId"), Token: q.Get("token")}
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		req.Token = id
	}
	var err error
	if v := q.Get("log"); v != "" {
		if req.Log, err = strconv.ParseBool(v); err != nil {
			return nil, fmt.Errorf("log is %q, not true or false", v)
		}
	}
	if v := get("after_log_sequence", "afterLogSequence"); v != "" {
		if req.AfterLogSequence, err = strconv.ParseUint(v, 10, 64); err != nil {
			return nil, fmt.Errorf("after_log_sequence is %q, not a number", v)
		}
	}
	return req, nil
}

// events writes a stream; its methods may be called by several goroutines.
type events struct {
	c *http.ResponseController

	mu    sync.Mutex
	w     http.ResponseWriter
	start bool
}

func (e *events) begun() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.start
}

// write runs f with the header written, and flushes.
func (e *events) write(f func() error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.start {
		e.start = true
		e.w.Header().Set("Content-Type", "text/event-stream")
		e.w.Header().Set("Cache-Control", "no-store")
		e.w.WriteHeader(http.StatusOK)
	}
	// Not every writer has deadlines; those without are cut off by the client.
	_ = e.c.SetWriteDeadline(time.Now().Add(writeTimeout))
	defer func() { _ = e.c.SetWriteDeadline(time.Time{}) }()
	if err := f(); err != nil {
		return err
	}
	return e.c.Flush()
}

func (e *events) raw(s string) error {
	_, err := fmt.Fprint(e.w, s)
	return err
}

func (e *events) changes(changes []*fleetv1.WatchResponse) error {
	for _, c := range changes {
		b, err := protojson.Marshal(c)
		if err != nil {
			return fmt.Errorf("encode a change: %w", err)
		}
		if c.GetToken() != "" {
			if err := e.raw("id: " + c.GetToken() + "\n"); err != nil {
				return err
			}
		}
		if err := e.raw("event: " + name(c) + "\ndata: " + string(b) + "\n\n"); err != nil {
			return err
		}
	}
	return nil
}

// name is the name of the field that is set.
func name(c *fleetv1.WatchResponse) string {
	switch c.GetChange().(type) {
	case *fleetv1.WatchResponse_Instance:
		return "instance"
	case *fleetv1.WatchResponse_RemovedInstanceId:
		return "removedInstanceId"
	case *fleetv1.WatchResponse_Host:
		return "host"
	case *fleetv1.WatchResponse_Log:
		return "log"
	case *fleetv1.WatchResponse_Chart:
		return "chart"
	case *fleetv1.WatchResponse_Synced:
		return "synced"
	default:
		return "reset"
	}
}
