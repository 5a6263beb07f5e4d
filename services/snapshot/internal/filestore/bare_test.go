// SPDX-License-Identifier: AGPL-3.0-or-later

package filestore_test

import (
	"os"
	"syscall"

	"github.com/chartroom/chartroom/services/snapshot/internal/store"
	"github.com/chartroom/chartroom/services/snapshot/internal/store/storetest"
)

// bareFile appends a group's records and log entries to a file in one write
// and one fdatasync: no index, no check, nothing to read them by.
func bareFile(f *os.File) storetest.Yardstick {
	var buf []byte
	return func(g *store.Group) error {
		buf = buf[:0]
		for i := range g.Steps {
			st := &g.Steps[i]
			buf = append(append(append(buf, st.Record.View...), st.Record.Session...), st.Record.State...)
			for _, l := range st.Log {
				buf = append(buf, l.Body...)
			}
		}
		if _, err := f.Write(buf); err != nil {
			return err
		}
		return syscall.Fdatasync(int(f.Fd()))
	}
}
