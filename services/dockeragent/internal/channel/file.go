// SPDX-License-Identifier: AGPL-3.0-or-later

package channel

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/chartroom/chartroom/services/dockeragent/internal/engine"
)

// MaxFile bounds the body of a file: no larger one is stored.
const MaxFile = 64 << 20

// Export copies a file out of a container, running or not. The error is the
// engine's (404: no such file yet), a [*TooLargeError], or that it is no plain file.
func Export(ctx context.Context, e engine.Engine, id, name string) ([]byte, error) {
	r, err := e.CopyFrom(ctx, id, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	files := tar.NewReader(r)
	h, err := files.Next()
	if err != nil {
		return nil, fmt.Errorf("copy %s from container %s: %w", name, id, err)
	}
	if h.Typeflag != tar.TypeReg {
		return nil, fmt.Errorf("copy %s from container %s: it is no plain file", name, id)
	}
	if h.Size > MaxFile {
		return nil, &TooLargeError{What: "its snapshot", Holder: "a file", Size: h.Size, Limit: MaxFile}
	}
	body, err := io.ReadAll(io.LimitReader(files, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("copy %s from container %s: %w", name, id, err)
	}
	return body, nil
}

// Import copies a file into a container, before it starts. The owner and mode of a
// file that is there already are kept; a new one is root's, readable and writable by
// all, and so are the directories that are missing above it.
func Import(ctx context.Context, e engine.Engine, id, name string, body []byte) error {
	h := tar.Header{Mode: 0o666, Typeflag: tar.TypeReg, Size: int64(len(body))}
	if r, err := e.CopyFrom(ctx, id, name); err == nil {
		if old, err := tar.NewReader(r).Next(); err == nil {
			h.Mode, h.Uid, h.Gid = old.Mode, old.Uid, old.Gid
		}
		_ = r.Close()
	} else if !engine.IsNotFound(err) {
		return err
	}
	var made []string // directories, the innermost first
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		archive, err := pack(h, dir, made, name, body)
		if err != nil {
			return fmt.Errorf("copy %s to container %s: %w", name, id, err)
		}
		if err := e.CopyTo(ctx, id, dir, archive); !engine.IsNotFound(err) || dir == path.Dir(dir) {
			return err
		}
		made = append(made, dir)
	}
}

// pack makes an archive of a file, and of directories above it, to be unpacked in dir.
func pack(h tar.Header, dir string, made []string, name string, body []byte) (io.Reader, error) {
	relative := func(name string) string { return strings.TrimPrefix(strings.TrimPrefix(name, dir), "/") }
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var err error
	for _, d := range slices.Backward(made) {
		err = errors.Join(err, w.WriteHeader(&tar.Header{Name: relative(d) + "/", Mode: 0o777, Typeflag: tar.TypeDir}))
	}
	h.Name = relative(name)
	err = errors.Join(err, w.WriteHeader(&h))
	if err == nil {
		_, err = w.Write(body)
	}
	return &b, errors.Join(err, w.Close())
}
