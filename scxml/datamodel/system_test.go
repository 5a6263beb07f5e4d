// SPDX-License-Identifier: Apache-2.0

package datamodel

import "time"

// fixedSystem is a System that says what the test wants.
type fixedSystem struct {
	now           time.Time
	in            func(id string) bool
	session, name string
	depth, bytes  int
}

func (s *fixedSystem) Now() time.Time                  { return s.now }
func (s *fixedSystem) Seed() uint64                    { return 0 }
func (s *fixedSystem) In(id string) bool               { return s.in != nil && s.in(id) }
func (s *fixedSystem) SessionID() string               { return s.session }
func (s *fixedSystem) Name() string                    { return s.name }
func (s *fixedSystem) IOProcessors() map[string]string { return map[string]string{"p": "there"} }
func (s *fixedSystem) CallDepth() int                  { return s.depth }
func (s *fixedSystem) DataBytes() int                  { return s.bytes }
func (s *fixedSystem) Meter() *Meter                   { return &Meter{Limit: 1 << 40} }
