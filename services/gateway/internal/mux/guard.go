// SPDX-License-Identifier: AGPL-3.0-or-later

package mux

import (
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/chartroom/chartroom/internal/transport"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	"github.com/chartroom/chartroom/services/gateway/internal/rpc"
	"github.com/chartroom/chartroom/services/gateway/internal/stream"
)

const cookieName = "chartroom"

// strangerTime is how long the body of a request may take that was not let in: no
// more than its header may.
const strangerTime = 10 * time.Second

// bodyTime is how long the body of any other request may take, but for gRPC, which
// streams. Without a bound a client that stops sending holds its connection for ever.
const bodyTime = 30 * time.Second

var (
	//go:embed login.html
	loginPage []byte
	//go:embed login.js
	loginScript []byte
)

// guard decides who is let in.
//
//   - With a token, a request carries it as "Authorization: Bearer TOKEN", or
//     carries the cookie that /login gave for it.
//   - Without one the port is loopback's, and the Host header must name
//     loopback: a page of another site cannot reach it by rebinding its name.
//   - In both cases a browser's request that changes something must come from
//     our own page (Sec-Fetch-Site or Origin).
type guard struct {
	token, cookie string
	tls           bool
	open, closed  http.Handler
	crossOrigin   *http.CrossOriginProtection
}

func newGuard(token string, tls bool, open, closed http.Handler) *guard {
	g := &guard{token: token, tls: tls, open: open, closed: closed, crossOrigin: http.NewCrossOriginProtection()}
	if token != "" {
		// Not the token itself, which would lie in the browser's files.
		mac := hmac.New(sha256.New, []byte(token))
		mac.Write([]byte("chartroom cookie"))
		g.cookie = hex.EncodeToString(mac.Sum(nil))
	}
	return g
}

// ServeHTTP implements http.Handler.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.tls {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
	}
	switch r.URL.Path {
	case "/healthz", "/readyz":
		hurry(w)
		g.open.ServeHTTP(w, r)
		return
	case "/login", "/login.js":
		hurry(w)
		g.login(w, r)
		return
	}
	if err := g.check(r); err != nil {
		hurry(w)
		if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") && g.token != "" {
			g.page(w, http.StatusUnauthorized)
			return
		}
		stream.WriteError(w, err)
		return
	}
	bound(w, r)
	g.closed.ServeHTTP(w, r)
}

// grpc serves a gRPC request, or refuses it as gRPC does.
func (g *guard) grpc(w http.ResponseWriter, r *http.Request, srv *grpc.Server) {
	err := g.check(r)
	if err == nil {
		srv.ServeHTTP(w, r)
		return
	}
	body := rpc.NewBody(err)
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Grpc-Status", strconv.Itoa(int(codes.Unauthenticated)))
	w.Header().Set("Grpc-Message", body.Message)
	w.WriteHeader(http.StatusOK)
}

// hurry bounds the time for the body, which net/http reads even if nobody else does
// before it answers: a stranger could hold connections by never sending it. It is for
// answers that are given at once, since a request ends when the time is over.
func hurry(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(strangerTime))
}

// errBodyTime is what reading a body gives when its time is over.
var errBodyTime = fmt.Errorf("the body did not come within %v", bodyTime)

// bound bounds the time for the body of r. Once that has come net/http forgets the
// bound: the answer may take as long as it does.
func bound(w http.ResponseWriter, r *http.Request) {
	if r.Body != nil && r.Body != http.NoBody {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
		r.Body = boundBody{r.Body}
	}
}

// boundBody is a body that says what is wrong when its time is over.
type boundBody struct{ io.ReadCloser }

// Read implements io.Reader.
func (b boundBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errBodyTime
	}
	return n, err
}

func (g *guard) check(r *http.Request) error {
	if err := g.crossOrigin.Check(r); err != nil {
		return rpc.Refuse(codes.PermissionDenied, fleetv1.Reason_REASON_UNAUTHENTICATED, "request from another site")
	}
	if g.token == "" {
		if !loopbackHost(r.Host) {
			return rpc.Refuse(codes.PermissionDenied, fleetv1.Reason_REASON_UNAUTHENTICATED,
				"without a token only loopback is answered to")
		}
		return nil
	}
	if token, ok := transport.BearerToken(r.Header.Get("Authorization")); ok {
		if transport.TokenEqual(token, g.token) {
			return nil
		}
	} else if c, err := r.Cookie(cookieName); err == nil && transport.TokenEqual(c.Value, g.cookie) {
		return nil
	}
	return rpc.Refuse(codes.Unauthenticated, fleetv1.Reason_REASON_UNAUTHENTICATED, "the token is missing or wrong")
}

// login takes the token from the query (GET /login?token=) or from a form, and
// gives the browser a cookie for it. The page reads it from the URL fragment
// too, which no proxy writes to its log.
func (g *guard) login(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/login.js" {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(loginScript)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	token := strings.TrimSpace(r.FormValue("token"))
	switch {
	case g.token == "":
	case token == "":
		g.page(w, http.StatusOK)
		return
	case !transport.TokenEqual(token, g.token):
		g.page(w, http.StatusUnauthorized)
		return
	default:
		http.SetCookie(w, &http.Cookie{
			Name: cookieName, Value: g.cookie, Path: "/", MaxAge: 30 * 24 * 3600,
			HttpOnly: true, Secure: g.tls, SameSite: http.SameSiteStrictMode,
		})
	}
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (g *guard) page(w http.ResponseWriter, code int) {
	secure(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(loginPage)
}

// loopbackHost says whether a Host header names this computer.
func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(strings.ToLower(host), "[]")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
