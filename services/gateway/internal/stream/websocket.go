// SPDX-License-Identifier: AGPL-3.0-or-later

// Package stream carries watches to browsers and scripts: a WebSocket (one a
// tab) and server-sent events.
//
// # Guarantees
//
// A socket has one watch at a time; a new one replaces it, and nothing of the
// old one is sent after the first change of the new one. What a slow reader has
// not seen waits in the read model, not here: views are coalesced to the
// newest, and log entries beyond the bound end in a reset. A reader that takes
// nothing for 15 s is cut off. Events sent through a socket are handed on in
// their order, at most 64 wait; more are refused. An empty frame goes out every 3 s,
// so that a page can tell a silent fleet from a dead connection.
//
// Everything that a handler starts has ended when it returns.
package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"github.com/chartroom/chartroom/services/gateway/internal/rpc"
)

// Bounds of a socket.
const (
	readLimit    = 512 << 10 // one message of the client
	sendQueue    = 64        // events that wait to be handed on
	writeTimeout = 15 * time.Second
	pingEvery    = 20 * time.Second
	// aliveEvery is a part of what a page waits before it takes the connection for
	// dead (8 s). A WebSocket ping would not do: scripts of a page do not see it.
	aliveEvery = 3 * time.Second
	// gather is the least time between two batches: what changes meanwhile is
	// coalesced, and a page cannot paint faster anyway.
	gather = 25 * time.Millisecond
	// full is a batch behind which more waits: nothing is gathered then.
	full = 256
)

// Fleet is what the handlers serve; *rpc.Server is one.
type Fleet interface {
	// Follow is described at rpc.Server.
	Follow(ctx context.Context, r *fleetv1.WatchRequest, send func([]*fleetv1.WatchResponse) error) error
	// Send is SendEvent with errors that clients may see.
	Send(ctx context.Context, r *fleetv1.SendEventRequest) (*fleetv1.SendEventResponse, error)
}

// WebSocket serves the dashboard's socket. The caller has checked the token;
// the origin is checked here.
func WebSocket(fleet Fleet, logger *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Without OriginPatterns only the page's own host is let in.
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
		if err != nil {
			logger.InfoContext(r.Context(), "socket refused", "err", err)
			return
		}
		defer func() { _ = conn.CloseNow() }()
		conn.SetReadLimit(readLimit)
		s := &socket{fleet: fleet, conn: conn}
		err = s.run(r.Context())
		switch {
		case r.Context().Err() != nil:
			_ = conn.Close(websocket.StatusGoingAway, "the gateway stops")
		case websocket.CloseStatus(err) != -1:
			logger.DebugContext(r.Context(), "socket closed", "err", err)
		default:
			logger.InfoContext(r.Context(), "socket broke", "err", err)
		}
	})
}

// socket is one open WebSocket.
type socket struct {
	fleet Fleet
	conn  *websocket.Conn
}

// message is what a client sends: one of the two.
type message struct {
	// Watch is a WatchRequest: it replaces the socket's watch.
	Watch json.RawMessage `json:"watch"`
	// Send is a SendEventRequest; ID comes back with the answer.
	Send json.RawMessage `json:"send"`
	ID   string          `json:"id"`
}

// sending is an event to hand on.
type sending struct {
	id      string
	request *fleetv1.SendEventRequest
}

// answer is what a client gets for a message of its own; the frames of a watch
// are bare WatchResponses.
type answer struct {
	Sent  *sent     `json:"sent,omitempty"`
	Error *rpc.Body `json:"error,omitempty"`
}

type sent struct {
	ID       string          `json:"id"`
	Response json.RawMessage `json:"response,omitempty"`
	Error    *rpc.Body       `json:"error,omitempty"`
}

// run serves until the client leaves, ctx ends or something breaks.
func (s *socket) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	watches := make(chan *fleetv1.WatchRequest) // closed by nobody: ctx ends all
	sends := make(chan sending, sendQueue)
	g.Go(func() error { return s.read(ctx, watches, sends) })
	g.Go(func() error { return s.watchAll(ctx, watches) })
	g.Go(func() error { return s.sendAll(ctx, sends) })
	g.Go(func() error { return s.ping(ctx) })
	g.Go(func() error { return s.alive(ctx) })
	return g.Wait()
}

func (s *socket) read(ctx context.Context, watches chan<- *fleetv1.WatchRequest, sends chan<- sending) error {
	for {
		_, b, err := s.conn.Read(ctx)
		if err != nil {
			return err
		}
		if err := s.take(ctx, b, watches, sends); err != nil {
			return err
		}
	}
}

// take handles one message of the client; what is wrong with it is answered.
func (s *socket) take(
	ctx context.Context, b []byte, watches chan<- *fleetv1.WatchRequest, sends chan<- sending,
) error {
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		return s.complain(ctx, fmt.Errorf("the message is not JSON: %w", err))
	}
	switch {
	case m.Watch != nil:
		r := &fleetv1.WatchRequest{}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(m.Watch, r); err != nil {
			return s.complain(ctx, fmt.Errorf("watch is not a WatchRequest: %w", err))
		}
		select {
		case watches <- r:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	case m.Send != nil:
		r := &fleetv1.SendEventRequest{}
		if err := protojson.Unmarshal(m.Send, r); err != nil {
			return s.complain(ctx, fmt.Errorf("send is not a SendEventRequest: %w", err))
		}
		select {
		case sends <- sending{id: m.ID, request: r}:
			return nil
		default:
			body := rpc.NewBody(rpc.Refuse(codes.ResourceExhausted, fleetv1.Reason_REASON_QUEUE_FULL,
				"%d events of this socket wait already", sendQueue))
			return s.write(ctx, answer{Sent: &sent{ID: m.ID, Error: &body}})
		}
	default:
		return s.complain(ctx, errors.New(`the message has neither "watch" nor "send"`))
	}
}

// complain answers a message that is not understood.
func (s *socket) complain(ctx context.Context, err error) error {
	body := rpc.NewBody(rpc.Refuse(codes.InvalidArgument, fleetv1.Reason_REASON_ARGUMENT_INVALID, "%v", err))
	return s.write(ctx, answer{Error: &body})
}

// watchAll runs one watch at a time: a new one ends the last, and waits for it.
func (s *socket) watchAll(ctx context.Context, watches <-chan *fleetv1.WatchRequest) error {
	for {
		select {
		case r := <-watches:
			for r != nil {
				var err error
				if r, err = s.watchUntil(ctx, r, watches); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watchUntil runs a watch until it ends by itself (nil) or another is asked
// for, which it returns.
func (s *socket) watchUntil(
	ctx context.Context, r *fleetv1.WatchRequest, watches <-chan *fleetv1.WatchRequest,
) (next *fleetv1.WatchRequest, err error) {
	watchCtx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1) // written once, when the watch has ended
	go func() { ended <- s.watch(watchCtx, r) }()
	select {
	case err = <-ended:
		cancel()
		return nil, err
	case next = <-watches:
	case <-ctx.Done():
		err = ctx.Err()
	}
	cancel()
	<-ended
	return next, err
}

// watch sends what a watch selects until ctx ends. A watch that is refused is
// answered; the error is that of the socket.
func (s *socket) watch(ctx context.Context, r *fleetv1.WatchRequest) error {
	var broken error
	err := s.fleet.Follow(ctx, r, func(changes []*fleetv1.WatchResponse) error {
		for _, c := range changes {
			if broken = s.writeProto(ctx, c); broken != nil {
				return broken
			}
		}
		return gatherMore(ctx, len(changes))
	})
	if ctx.Err() != nil {
		return nil
	}
	if err == nil || broken != nil {
		return broken
	}
	body := rpc.NewBody(err)
	return s.write(ctx, answer{Error: &body})
}

// gatherMore waits after a batch of n changes, unless it was full.
func gatherMore(ctx context.Context, n int) error {
	if n >= full {
		return ctx.Err()
	}
	return pause(ctx, gather)
}

// pause waits for d.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *socket) sendAll(ctx context.Context, sends <-chan sending) error {
	for {
		select {
		case m := <-sends:
			a := answer{Sent: &sent{ID: m.id}}
			resp, err := s.fleet.Send(ctx, m.request)
			if err != nil {
				body := rpc.NewBody(err)
				a.Sent.Error = &body
			} else if a.Sent.Response, err = protojson.Marshal(resp); err != nil {
				return fmt.Errorf("encode the answer: %w", err)
			}
			if err := s.write(ctx, a); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ping notices a client that is gone without a word.
func (s *socket) ping(ctx context.Context) error {
	t := time.NewTicker(pingEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			ctx, cancel := context.WithTimeout(ctx, writeTimeout)
			err := s.conn.Ping(ctx)
			cancel()
			if err != nil {
				return fmt.Errorf("ping: %w", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// alive sends an empty frame now and then: a WatchResponse without a change.
func (s *socket) alive(ctx context.Context) error {
	for {
		if err := pause(ctx, aliveEvery); err != nil {
			return err
		}
		if err := s.writeProto(ctx, &fleetv1.WatchResponse{}); err != nil {
			return err
		}
	}
}

func (s *socket) write(ctx context.Context, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a frame: %w", err)
	}
	return s.writeBytes(ctx, b)
}

func (s *socket) writeProto(ctx context.Context, m proto.Message) error {
	b, err := protojson.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode a frame: %w", err)
	}
	return s.writeBytes(ctx, b)
}

// writeBytes writes a whole frame even when its watch is replaced meanwhile: a
// write that is cut off would close the socket.
func (s *socket) writeBytes(ctx context.Context, b []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	if err := s.conn.Write(ctx, websocket.MessageText, b); err != nil {
		return fmt.Errorf("write a frame: %w", err)
	}
	return nil
}
