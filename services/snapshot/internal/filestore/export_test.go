// SPDX-License-Identifier: AGPL-3.0-or-later

package filestore

// OpenFS opens a store on another file system, such as one that loses what
// was not synced.
var OpenFS = open

// Inflight is how many commits wait for the disk.
func Inflight(s *Store) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inflight
}
