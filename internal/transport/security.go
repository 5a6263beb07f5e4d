// SPDX-License-Identifier: AGPL-3.0-or-later

package transport

import (
	"bytes"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Names of the files in a Security's directory.
const (
	fileCA         = "ca.pem"
	fileServerCert = "server.pem"
	fileServerKey  = "server.key"
	fileClientCert = "client.pem"
	fileClientKey  = "client.key"
	fileToken      = "token"
)

// minTokenBytes is the shortest token taken: a shorter one is a mistake, such
// as an empty file.
const minTokenBytes = 16

// Security says what a connection is trusted by. The zero value means nothing
// at all: plain connections, loopback only. It is a value; copies are equal.
type Security struct {
	// Dir holds ca.pem, server.pem, server.key, client.pem, client.key and
	// token. A server reads the first three and the token, a client ca.pem,
	// the client pair and the token. Empty means no security.
	Dir string
}

// Enabled reports whether there is anything to be trusted by.
func (s Security) Enabled() bool { return s.Dir != "" }

// Token reads the token that calls must carry, without the white space around
// it. It is empty without a directory, and an error when the file is missing
// or holds fewer than 16 bytes.
func (s Security) Token() (string, error) {
	if !s.Enabled() {
		return "", nil
	}
	b, err := os.ReadFile(filepath.Join(s.Dir, fileToken))
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	b = bytes.TrimSpace(b)
	if len(b) < minTokenBytes {
		return "", fmt.Errorf("token %s: shorter than %d bytes", filepath.Join(s.Dir, fileToken), minTokenBytes)
	}
	return string(b), nil
}

// TokenEqual compares a presented token with the right one in constant time.
// An empty right token equals nothing.
func TokenEqual(got, want string) bool {
	return want != "" && subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

// BearerToken reads the token from the value of an Authorization header. The scheme
// is written in any case (RFC 9110 11.1).
func BearerToken(authorization string) (token string, ok bool) {
	scheme, token, ok := strings.Cut(authorization, " ")
	return strings.TrimLeft(token, " "), ok && strings.EqualFold(scheme, "Bearer")
}

// ServerTLS is the configuration of a listener: TLS 1.3 with the server's
// certificate. With verifyClients a client must show a certificate of the CA,
// as chartroom's own processes do; without it none is asked for, as for a
// browser, whose requests carry the token. It is nil without a directory.
func (s Security) ServerTLS(verifyClients bool) (*tls.Config, error) {
	if !s.Enabled() {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(s.Dir, fileServerCert), filepath.Join(s.Dir, fileServerKey))
	if err != nil {
		return nil, fmt.Errorf("load server certificate: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}}
	if !verifyClients {
		return c, nil
	}
	if c.ClientCAs, err = s.pool(); err != nil {
		return nil, err
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	return c, nil
}

// ClientTLS is the configuration of a client: it trusts the CA alone and
// shows the client's certificate if the directory has one. It is nil without
// a directory.
func (s Security) ClientTLS() (*tls.Config, error) {
	if !s.Enabled() {
		return nil, nil
	}
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool}
	cert, err := tls.LoadX509KeyPair(filepath.Join(s.Dir, fileClientCert), filepath.Join(s.Dir, fileClientKey))
	switch {
	case err == nil:
		c.Certificates = []tls.Certificate{cert}
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("load client certificate: %w", err)
	}
	return c, nil
}

func (s Security) pool() (*x509.CertPool, error) {
	b, err := os.ReadFile(filepath.Join(s.Dir, fileCA))
	if err != nil {
		return nil, fmt.Errorf("read CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("CA %s: no certificate in it", filepath.Join(s.Dir, fileCA))
	}
	return pool, nil
}
