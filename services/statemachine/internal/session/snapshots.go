// SPDX-License-Identifier: AGPL-3.0-or-later

package session

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/chartroom/chartroom/proto/gen/chartroom/agent/v1"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
	snapshotv1 "github.com/chartroom/chartroom/proto/gen/chartroom/snapshot/v1"
)

// snapshotsKept is how many application snapshots an instance keeps.
const snapshotsKept = 5

// inlineBytes is the largest body that travels inside a message.
const inlineBytes = 16 << 10

// lastProven is the newest proven snapshot; nil when there is none.
func (i *Instance) lastProven() *fleetv1.ApplicationSnapshot {
	for _, s := range i.view.GetSnapshots() {
		if s.GetVerdict() == fleetv1.Verdict_VERDICT_PROVEN {
			return s
		}
	}
	return nil
}

// snapshot looks an application snapshot up; nil when it is not kept.
func (i *Instance) snapshot(number uint64) *fleetv1.ApplicationSnapshot {
	for _, s := range i.view.GetSnapshots() {
		if s.GetNumber() == number {
			return s
		}
	}
	return nil
}

// keep takes in a dumped snapshot and gives its number; 0 when it was not
// kept. One with the body and cursor of the newest is that one again.
func (t *turn) keep(s *agentv1.Snapshot, at time.Time) uint64 {
	i := t.instance
	kept := i.view.GetSnapshots()
	if len(kept) > 0 && kept[0].GetSha256() == s.GetSha256() && kept[0].GetContainedSequence() == s.GetContainedSequence() &&
		kept[0].GetVerdict() != fleetv1.Verdict_VERDICT_QUARANTINED {
		return kept[0].GetNumber()
	}
	if started := i.view.GetTarget().GetStartedTime(); started != nil && s.GetRunTime() != nil && s.GetRunTime().AsTime().Before(started.AsTime()) {
		t.remark(fleetv1.Severity_SEVERITY_INFO, "snapshot.late", "A snapshot of an earlier run came late and moves nothing.")
		return 0
	}
	if t.shard.missing[s.GetSha256()] {
		t.remark(fleetv1.Severity_SEVERITY_ERROR, "snapshot.missing", fmt.Sprintf(
			"The body of a snapshot (%.12s) is not in the store; the snapshot is not kept.", s.GetSha256()))
		return 0
	}
	i.book.Snapshots++
	number := i.book.Snapshots
	t.reference(s.GetSha256())
	if len(s.GetInline()) > 0 {
		t.blob(s.GetSha256(), s.GetInline())
	}
	i.view.Snapshots = append([]*fleetv1.ApplicationSnapshot{{
		Number: number, Sha256: s.GetSha256(), SizeBytes: s.GetSizeBytes(),
		ContainedSequence: min(s.GetContainedSequence(), i.known),
		CreateTime:        timestamppb.New(at), RunTime: s.GetRunTime(),
		Verdict: fleetv1.Verdict_VERDICT_CANDIDATE,
	}}, kept...)
	i.book.Forced = ""
	t.evict()
	t.trim()
	return number
}

// evict drops snapshots beyond the number kept: never the newest, the last
// proven one or the one that the run resumed from; bad ones and old ones first.
// Where a file is the channel a new container may have begun from nothing, so what
// the one before it left stays, too.
func (t *turn) evict() {
	i := t.instance
	for len(i.view.GetSnapshots()) > snapshotsKept {
		kept, proven := i.view.GetSnapshots(), i.lastProven()
		victim := -1
		for k := len(kept) - 1; k > 0; k-- {
			if n := kept[k].GetNumber(); kept[k] == proven || n == i.book.Restored || n == i.book.Inherited && !i.takesEvents() {
				continue
			}
			if kept[k].GetVerdict() == fleetv1.Verdict_VERDICT_QUARANTINED {
				victim = k
				break
			}
			if victim < 0 {
				victim = k
			}
		}
		gone := kept[victim]
		i.view.Snapshots = slices.Delete(slices.Clone(kept), victim, victim+1)
		t.unreference(gone.GetSha256())
	}
}

// judge records a verdict.
func (t *turn) judge(number uint64, verdict string) error {
	i := t.instance
	v, ok := map[string]fleetv1.Verdict{
		"proven":      fleetv1.Verdict_VERDICT_PROVEN,
		"suspect":     fleetv1.Verdict_VERDICT_SUSPECT,
		"quarantined": fleetv1.Verdict_VERDICT_QUARANTINED,
	}[verdict]
	if !ok {
		return fmt.Errorf("verdict %q: want proven, suspect or quarantined", verdict)
	}
	for k, s := range i.view.GetSnapshots() {
		if s.GetNumber() != number {
			continue
		}
		if s.GetVerdict() == fleetv1.Verdict_VERDICT_QUARANTINED {
			return nil // for good
		}
		judged := proto.CloneOf(s)
		judged.Verdict = v
		i.view.Snapshots = slices.Clone(i.view.GetSnapshots())
		i.view.Snapshots[k] = judged
		t.trim()
		return nil
	}
	return nil // no longer kept
}

// reference makes the instance hold a body. It is counted once an instance.
func (t *turn) reference(sha string) {
	if t.references(sha) {
		return
	}
	out := t.step().out
	if k := slices.Index(out.BlobRemove, sha); k >= 0 {
		out.BlobRemove = slices.Delete(out.BlobRemove, k, k+1)
		return
	}
	out.BlobAdd = append(out.BlobAdd, sha)
}

// unreference lets go of a body that no kept snapshot has any more.
func (t *turn) unreference(sha string) {
	if t.references(sha) {
		return
	}
	out := t.step().out
	if k := slices.Index(out.BlobAdd, sha); k >= 0 {
		// Never written, so neither the reference nor the body has to be.
		out.BlobAdd = slices.Delete(out.BlobAdd, k, k+1)
		out.Blobs = slices.DeleteFunc(out.Blobs, func(b *snapshotv1.Blob) bool { return b.GetSha256() == sha })
		return
	}
	out.BlobRemove = append(out.BlobRemove, sha)
}

func (t *turn) references(sha string) bool {
	return slices.ContainsFunc(t.instance.view.GetSnapshots(), func(s *fleetv1.ApplicationSnapshot) bool { return s.GetSha256() == sha })
}

// blob writes a small body in this commit, and remembers it for a command
// that restores it soon.
func (t *turn) blob(sha string, body []byte) {
	t.bodies.put(sha, body)
	t.batch.bytes += len(body)
	out := t.step().out
	if !slices.ContainsFunc(out.Blobs, func(b *snapshotv1.Blob) bool { return b.GetSha256() == sha }) {
		out.Blobs = append(out.Blobs, &snapshotv1.Blob{Sha256: sha, Body: body})
	}
}

// wire is a kept snapshot as a command names it.
func wire(s *fleetv1.ApplicationSnapshot) *agentv1.Snapshot {
	return &agentv1.Snapshot{Sha256: s.GetSha256(), SizeBytes: s.GetSizeBytes(), ContainedSequence: s.GetContainedSequence(), RunTime: s.GetRunTime()}
}
