// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"bytes"
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
)

const (
	// answersTime is how long an answer is remembered once the store has it, and
	// answersBytes how much of them in a shard. They need only outlast the way of
	// a request from its look-up to its step; one that took longer is asked to
	// look again.
	answersTime  = 10 * time.Second
	answersBytes = 1 << 20
	// answerOverhead is about what an answer takes beside its content.
	answerOverhead = 256
	// digestField holds the digest of the request in a stored response: a
	// field that no message has, so that whoever reads the response skips it.
	digestField protowire.Number = 100_000
)

// ErrLookUp refuses a request whose request_id may have been answered since it
// was looked up, and that answer forgotten here: the caller looks it up again
// in the store, then posts it again.
var ErrLookUp = errors.New("the request_id has to be looked up again")

// answers remembers what became of the newest request_ids of a shard. The
// store keeps them for 24 h, and is asked before a request is posted; but it
// cannot know of one that is on its way, or was when it was asked.
//
//	looked up: unknown ──────────▶ stepped            needs the memory
//	        ▲ first one stored                        of this answer
type answers struct {
	byID map[string]*answer
	// stored are those that the store has, oldest first, and bytes their size.
	stored []*answer
	bytes  int
	// forgotten is when the store had the last of those that are gone from here:
	// whoever looked later has found them there.
	forgotten time.Time
}

// answer is what became of a request_id.
type answer struct {
	id       string
	digest   []byte
	response proto.Message
	size     int
	at       time.Time // when it was stored
}

// newAnswers makes the memory of a shard that was loaded at a time: what its
// former owner has answered is in the store by then.
func newAnswers(loaded time.Time) answers {
	return answers{byID: map[string]*answer{}, forgotten: loaded}
}

// keep notes answers that the store has now.
func (a *answers) keep(stored []*answer, now time.Time) {
	for _, s := range stored {
		s.at = now
		a.bytes += s.size
	}
	a.stored = append(a.stored, stored...)
	a.forget(now)
}

// forget drops what is older than answersTime, and the oldest of what is more
// than answersBytes.
func (a *answers) forget(now time.Time) {
	for len(a.stored) > 0 {
		oldest := a.stored[0]
		if a.bytes <= answersBytes && now.Sub(oldest.at) <= answersTime {
			return
		}
		a.stored[0], a.stored = nil, a.stored[1:]
		a.bytes -= oldest.size
		a.forgotten = oldest.at
		delete(a.byID, oldest.id)
	}
}

// repeated answers a request_id that is known already. The answer waits for
// the present group, hence for the one that took the first.
func (s *Shard) repeated(g *group, id string, lookedUp time.Time, digest []byte, reply Reply) bool {
	known, ok := s.answers.byID[id]
	if !ok && (lookedUp.IsZero() || lookedUp.After(s.answers.forgotten)) {
		return false
	}
	a := &Answer{Reply: reply}
	switch {
	case !ok:
		a.Err = ErrLookUp
	case !bytes.Equal(known.digest, digest):
		a.Err = Reused(id)
	default:
		a.Response = known.response
	}
	g.then(a)
	return true
}

// Reused is the refusal of a request_id that another request had.
func Reused(id string) *Refusal {
	return refuse(fleetv1.Reason_REASON_REQUEST_ID_REUSED, "request_id %q was used for another request", id)
}

// respond stores the answer with the step and gives it after the commit.
func (t *turn) respond(id string, digest []byte, reply Reply, response proto.Message) {
	sealed := sealResponse(response, digest)
	known := &answer{id: id, digest: digest, response: response, size: len(sealed) + answerOverhead}
	t.shard.answers.byID[id] = known
	t.group.answered = append(t.group.answered, known)
	st := t.group.last(t.instance)
	st.out.Requests = append(st.out.Requests, &snapshotv1.RequestResult{
		RequestId: id, InstanceId: t.instance.id, Response: sealed, Time: stamp(t.now),
	})
	t.group.then(&Answer{Reply: reply, Response: response})
}

// last is the newest step of an instance in the group, also when the instance
// is gone by it.
func (g *group) last(i *Instance) *step {
	for k := len(g.steps) - 1; k >= 0; k-- {
		if g.steps[k].instance == i {
			return g.steps[k]
		}
	}
	return g.step(i)
}

// sealResponse serializes a response and puts the digest of its request in.
func sealResponse(response proto.Message, digest []byte) []byte {
	b, err := proto.Marshal(response)
	if err != nil {
		return nil // a message of ours always marshals
	}
	b = protowire.AppendTag(b, digestField, protowire.BytesType)
	return protowire.AppendBytes(b, digest)
}

// OpenResponse reads what the store has of a request_id into response. It
// gives [Reused] when the request was another one.
func OpenResponse(id string, stored, digest []byte, response proto.Message) error {
	var found []byte
	for rest := stored; len(rest) > 0; {
		num, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			break
		}
		m := protowire.ConsumeFieldValue(num, kind, rest[n:])
		if m < 0 {
			break
		}
		if num == digestField {
			found, _ = protowire.ConsumeBytes(rest[n:])
		}
		rest = rest[n+m:]
	}
	if !bytes.Equal(found, digest) {
		return Reused(id)
	}
	if err := proto.Unmarshal(stored, response); err != nil {
		return err
	}
	response.ProtoReflect().SetUnknown(nil)
	return nil
}
