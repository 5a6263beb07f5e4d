// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import "container/list"

// bodiesBytes bounds the bodies that a worker remembers.
const bodiesBytes = 32 << 20

// bodies remembers small bodies, the least recently used going first, so that
// a restart need not fetch what was dumped a moment ago. It is a cache: the
// agent asks for what a command does not carry.
type bodies struct {
	order list.List // of body, newest first
	byKey map[string]*list.Element
	bytes int
}

type body struct {
	sha  string
	data []byte
}

func (b *bodies) put(sha string, data []byte) {
	if len(data) > inlineBytes {
		return
	}
	if e, ok := b.byKey[sha]; ok {
		b.order.MoveToFront(e)
		return
	}
	if b.byKey == nil {
		b.byKey = map[string]*list.Element{}
	}
	b.byKey[sha] = b.order.PushFront(body{sha, data})
	b.bytes += len(data)
	for b.bytes > bodiesBytes {
		oldest := b.order.Remove(b.order.Back()).(body)
		delete(b.byKey, oldest.sha)
		b.bytes -= len(oldest.data)
	}
}

func (b *bodies) get(sha string) []byte {
	e, ok := b.byKey[sha]
	if !ok {
		return nil
	}
	b.order.MoveToFront(e)
	return e.Value.(body).data
}
