// SPDX-License-Identifier: Apache-2.0

package scxmlenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/chartroom/chartroom/scxml"
)

// location implements world.
func (l *Live) location(sessionID string) string {
	if l.url == "" {
		return ""
	}
	return l.url + url.PathEscape(sessionID)
}

// serve takes events by HTTP until Run ends. What it gives says why it ended before.
func (l *Live) serve() <-chan error {
	served := make(chan error, 1)
	if l.config.Listener == nil {
		return served
	}
	server := &http.Server{
		// A page in a browser must not send events to charts on the same computer.
		Handler:           http.NewCrossOriginProtection().Handler(http.HandlerFunc(l.take)),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	l.work.Go(func() {
		if err := server.Serve(l.config.Listener); !errors.Is(err, http.ErrServerClosed) {
			served <- err
		}
	})
	l.work.Go(func() {
		<-l.ctx.Done()
		// Nothing is queued any more: handlers end at once, and the time is for
		// those that still read.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	})
	return served
}

// take queues the event that a request stands for (SCXML C.2.1), and answers after
// that.
func (l *Live) take(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "events come by POST", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, l.config.MaxBytes))
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		http.Error(w, fmt.Sprintf("a message has %d bytes at most", l.config.MaxBytes), http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil || !utf8.Valid(body) {
		http.Error(w, "the message is cut off, or not in UTF-8", http.StatusBadRequest)
		return
	}
	// A proxy may have put the location anywhere: the id is what is last.
	at := r.URL.EscapedPath()
	id, _ := url.PathUnescape(at[strings.LastIndexByte(at, '/')+1:]) // net/url has parsed it before
	ev := scxml.HTTPEvent(r.Method, l.location(id), r.Header.Get("Content-Type"), string(body))
	err = l.Do(r.Context(), func(e *Env) error { return e.queue(e.sessions[id], ev) })
	switch {
	case err == nil:
		w.WriteHeader(http.StatusOK)
	case errors.Is(err, errUnknown):
		http.Error(w, errUnknown.Error(), http.StatusNotFound)
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

// route is what requests are kept in order for.
type route struct{ session, target string }

// request is a message by HTTP that waits for its turn.
type request struct {
	message scxml.Send
	done    func(error)
}

// post implements world.
func (l *Live) post(from *Session, x scxml.Send, done func(error)) bool {
	if !l.admit(done) {
		return true
	}
	to := route{from.ID, x.Target}
	l.posts[to] = append(l.posts[to], request{x, done})
	if len(l.posts[to]) == 1 {
		l.next(to)
	}
	return true
}

// next sends the first message that waits for to, and the others after it.
func (l *Live) next(to route) {
	first := l.posts[to][0]
	l.start(func() error { return l.request(first.message) }, func(err error) {
		first.done(err)
		if l.posts[to] = l.posts[to][1:]; len(l.posts[to]) > 0 {
			l.next(to)
		} else {
			delete(l.posts, to)
		}
	})
}

// request makes one request (SCXML C.2.2).
func (l *Live) request(x scxml.Send) error {
	u, err := url.Parse(x.Target)
	if err != nil {
		return err
	}
	if _, _, err := find(l.send, u); err != nil {
		return err
	}
	contentType, body := x.HTTPBody()
	if int64(len(body)) > l.config.MaxBytes {
		return fmt.Errorf("a message has %d bytes at most, this one %d", l.config.MaxBytes, len(body))
	}
	r, err := http.NewRequestWithContext(l.ctx, http.MethodPost, x.Target, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", contentType)
	response, err := l.client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	// The rest is read so that the connection can be used again, and no more.
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10)
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("it was answered with status %s", response.Status)
	}
	return nil
}
