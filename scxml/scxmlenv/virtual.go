// SPDX-License-Identifier: Apache-2.0

package scxmlenv

import (
	"strings"

	"github.com/chartroom/chartroom/scxml"
)

// virtual is the world of an Env on a virtual clock: there is nothing but its
// sessions, and everything happens at once.
type virtual struct{ env *Env }

// nowhere begins the addresses of sessions. No request is ever made.
const nowhere = "http://scxmlenv.invalid/"

func (v *virtual) location(sessionID string) string {
	if v.env.config.NoHTTP {
		return ""
	}
	return nowhere + sessionID
}

func (v *virtual) post(_ *Session, x scxml.Send, done func(error)) bool {
	id, ok := strings.CutPrefix(x.Target, nowhere)
	if to := v.env.sessions[id]; ok && to != nil && !v.env.config.NoHTTP {
		contentType, body := x.HTTPBody()
		done(v.env.queue(to, scxml.HTTPEvent("POST", x.Target, contentType, body)))
		return true
	}
	return false
}

func (v *virtual) await(work func() error, done func(error)) { done(work()) }

func (v *virtual) guard(step func(func(*scxml.Interpreter))) bool {
	step(func(*scxml.Interpreter) {})
	return false
}

func (v *virtual) live() bool { return false }
