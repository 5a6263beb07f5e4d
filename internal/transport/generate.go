// SPDX-License-Identifier: AGPL-3.0-or-later

package transport

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// validity of all certificates: as long as a device may stay in a cupboard.
const validity = 10 * 365 * 24 * time.Hour

// Generate fills dir (made when missing, mode 0700) with a CA, a server and a
// client certificate, their keys, and a token. The server's certificate is
// good for hosts (names or IP addresses) and for localhost, 127.0.0.1 and
// ::1. The CA's key is thrown away: nothing more can be signed, and new
// hosts need a new directory.
//
// A directory that is complete already is left as it is, so that a start-up
// job may run again; one that holds only some of the files is an error. The
// files are written under other names first: an interrupted Generate leaves
// nothing that looks complete.
func Generate(dir string, hosts []string) error {
	done, err := complete(dir)
	if err != nil || done {
		return err
	}
	files, err := material(hosts, time.Now())
	if err != nil {
		return fmt.Errorf("generate %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("generate: %w", err)
	}
	for _, f := range files {
		if err := writeFile(filepath.Join(dir, f.name+".new"), f.body); err != nil {
			return fmt.Errorf("generate: %w", err)
		}
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := os.Rename(path+".new", path); err != nil {
			return fmt.Errorf("generate: %w", err)
		}
	}
	return nil
}

// complete reports whether dir has every file; some but not all is an error.
func complete(dir string) (bool, error) {
	var have, missing []string
	for _, name := range []string{fileCA, fileServerCert, fileServerKey, fileClientCert, fileClientKey, fileToken} {
		_, err := os.Stat(filepath.Join(dir, name))
		switch {
		case err == nil:
			have = append(have, name)
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, name)
		default:
			return false, fmt.Errorf("generate: %w", err)
		}
	}
	if len(have) > 0 && len(missing) > 0 {
		return false, fmt.Errorf("generate %s: it has %v but not %v; remove the files or name another directory", dir, have, missing)
	}
	return len(missing) == 0, nil
}

type file struct {
	name string
	body []byte
}

// material makes the contents of all files.
func material(hosts []string, now time.Time) ([]file, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := template("chartroom CA", now)
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	server := template("chartroom server", now)
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range append([]string{"localhost", "127.0.0.1", "::1"}, hosts...) {
		if ip := net.ParseIP(h); ip != nil {
			server.IPAddresses = append(server.IPAddresses, ip)
		} else {
			server.DNSNames = append(server.DNSNames, h)
		}
	}
	client := template("chartroom client", now)
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}

	files := []file{{fileCA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})}}
	for _, leaf := range []struct {
		cert, key string
		t         *x509.Certificate
	}{{fileServerCert, fileServerKey, server}, {fileClientCert, fileClientKey, client}} {
		cert, key, err := sign(leaf.t, ca, caKey)
		if err != nil {
			return nil, err
		}
		files = append(files, file{leaf.cert, cert}, file{leaf.key, key})
	}
	token := make([]byte, 32)
	rand.Read(token)
	return append(files, file{fileToken, []byte(hex.EncodeToString(token) + "\n")}), nil
}

func template(name string, now time.Time) *x509.Certificate {
	serial := make([]byte, 16)
	rand.Read(serial)
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{CommonName: name},
		// An hour back: clocks of small devices differ.
		NotBefore: now.Add(-time.Hour),
		NotAfter:  now.Add(validity),
		KeyUsage:  x509.KeyUsageDigitalSignature,
	}
}

// sign makes a key and its certificate, both as PEM.
func sign(t, ca *x509.Certificate, caKey crypto.Signer) (cert, key []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca, k.Public(), caKey)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

// writeFile writes body durably, readable by the owner alone.
func writeFile(path string, body []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	return errors.Join(err, f.Sync(), f.Close())
}
