// SPDX-License-Identifier: AGPL-3.0-or-later

package dockeragent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// lock takes the state directory for this process; a second agent on it is refused.
func lock(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	// One that is just ending, or a process that was just forked, may hold it a moment longer.
	for patience := lockPatience; ; patience -= lockPause {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if patience <= 0 {
			_ = f.Close()
			return nil, fmt.Errorf("state directory %s: another agent uses it: %w", dir, err)
		}
		time.Sleep(lockPause) //nolint:forbidigo // a lock tells nobody that it is free
	}
}

const (
	lockPatience = time.Second
	lockPause    = 20 * time.Millisecond
)

// enrol returns the host's id, which is written down once: renaming the
// computer does not change it.
func enrol(dir, wanted string) (string, error) {
	name := filepath.Join(dir, "host-id")
	b, err := os.ReadFile(name)
	if err == nil {
		id := strings.TrimSpace(string(b))
		if wanted != "" && wanted != id {
			return "", fmt.Errorf("this state directory is enrolled as host %q, not %q; another host needs an empty one", id, wanted)
		}
		return id, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("host id: %w", err)
	}
	if wanted == "" {
		if wanted, err = os.Hostname(); err != nil {
			return "", fmt.Errorf("host id: %w", err)
		}
		if !hostName.MatchString(wanted) {
			return "", fmt.Errorf("host name %q cannot be a host id; choose one with --host-id", wanted)
		}
	}
	if err := writeFile(name, []byte(wanted+"\n")); err != nil {
		return "", fmt.Errorf("host id: %w", err)
	}
	return wanted, nil
}

// writeFile writes a file so that it is whole or not there after a crash.
func writeFile(name string, body []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
