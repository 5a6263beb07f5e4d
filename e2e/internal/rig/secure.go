// SPDX-License-Identifier: AGPL-3.0-or-later

package rig

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// tlsDir is the variable by which every program finds certificates and token.
const tlsDir = "CHARTROOM_TLS_DIR"

// Secure makes everything that the test starts and dials from now on speak TLS
// and show a token, made as a user makes them: by chartroom init. It is not for
// parallel tests.
func Secure(t *testing.T) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tls")
	if out, err := exec.CommandContext(t.Context(), Binary(t, "chartroom"), "init", dir).CombinedOutput(); err != nil {
		t.Fatalf("chartroom init: %v\n%s", err, out)
	}
	t.Setenv(tlsDir, dir)
}

// trust is how a client of this test is trusted.
func trust(t testing.TB) []grpc.DialOption {
	t.Helper()
	dir := os.Getenv(tlsDir)
	if dir == "" {
		return []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(read("ca.pem")) {
		t.Fatalf("%s/ca.pem holds no certificate", dir)
	}
	own, err := tls.X509KeyPair(read("client.pem"), read("client.key"))
	if err != nil {
		t.Fatal(err)
	}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}, ServerName: "localhost"})),
		grpc.WithPerRPCCredentials(bearer(strings.TrimSpace(string(read("token"))))),
	}
}

// bearer is a token that every call carries.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return true }
