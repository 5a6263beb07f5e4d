// SPDX-License-Identifier: AGPL-3.0-or-later

package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"github.com/chartroom/chartroom/services/gateway/internal/rpc"
)

// AttachSuffix is how the path of [Attach] ends, after the instance.
const AttachSuffix = ":attach"

// Attach serves the call of that name, which streams in both directions, as a
// WebSocket at /v1/instances/ID:attach: text frames, an AttachRequest each from the
// client (the instance is that of the path), an AttachResponse each to it. What goes
// wrong is a frame {"error": …} before the end. The caller has checked the token; the
// origin is checked here.
func Attach(fleet grpc.ClientConnInterface, logger *slog.Logger) http.Handler {
	client := fleetv1.NewFleetServiceClient(fleet)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			WriteError(w, rpc.Refuse(codes.InvalidArgument, fleetv1.Reason_REASON_ARGUMENT_INVALID, "%s is a WebSocket", r.URL.Path))
			return
		}
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
		if err != nil {
			logger.InfoContext(r.Context(), "socket refused", "err", err)
			return
		}
		defer func() { _ = conn.CloseNow() }()
		conn.SetReadLimit(readLimit)
		s := &socket{conn: conn}
		id := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v1/instances/"), AttachSuffix)
		err = s.attach(r.Context(), client, id)
		switch {
		case r.Context().Err() != nil:
			_ = conn.Close(websocket.StatusGoingAway, "the gateway stops")
		case err == nil:
			_ = conn.Close(websocket.StatusNormalClosure, "the streams have ended")
		case websocket.CloseStatus(err) == -1:
			body := rpc.NewBody(err)
			_ = s.write(r.Context(), answer{Error: &body})
			_ = conn.Close(websocket.StatusPolicyViolation, "refused")
		}
	})
}

// attach joins the socket and the streams of the target until those end (nil), or the
// client leaves.
func (s *socket) attach(socketCtx context.Context, client fleetv1.FleetServiceClient, id string) error {
	if !utf8.ValidString(id) {
		return rpc.Refuse(codes.InvalidArgument, fleetv1.Reason_REASON_ARGUMENT_INVALID, "the address is not UTF-8")
	}
	// A read that is cut off would close the socket before its last words.
	ctx, cancel := context.WithCancelCause(socketCtx)
	defer cancel(nil)
	stream, err := client.Attach(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&fleetv1.AttachRequest{InstanceId: id}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	gone := make(chan struct{})
	go func() { // ends with the socket, which the caller closes
		defer close(gone)
		cancel(s.input(socketCtx, stream))
	}()
	for {
		out, err := stream.Recv()
		if err == nil {
			err = s.writeProto(ctx, out)
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			<-gone
			return context.Cause(ctx)
		}
		return err
	}
}

// input hands on what the client sends until it leaves or breaks the form.
func (s *socket) input(ctx context.Context, stream grpc.BidiStreamingClient[fleetv1.AttachRequest, fleetv1.AttachResponse]) error {
	for {
		_, b, err := s.conn.Read(ctx)
		if err != nil {
			return err
		}
		in := &fleetv1.AttachRequest{}
		if err := protojson.Unmarshal(b, in); err != nil {
			return rpc.Refuse(codes.InvalidArgument, fleetv1.Reason_REASON_ARGUMENT_INVALID, "the message is not an AttachRequest: %v", err)
		}
		in.InstanceId = ""
		if err := stream.Send(in); err != nil {
			return fmt.Errorf("hand on the input: %w", err)
		}
	}
}
