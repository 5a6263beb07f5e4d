// SPDX-License-Identifier: AGPL-3.0-or-later

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/chartroom/chartroom/internal/application"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// dataChange is one place at which two snapshots differ.
type dataChange struct {
	Path string `json:"path"`
	// Old and New are absent where there was, or is, nothing.
	Old json.RawMessage `json:"old,omitempty"`
	New json.RawMessage `json:"new,omitempty"`
}

func (c dataChange) String() string {
	path := or(c.Path, "(all of it)")
	switch {
	case c.Old == nil:
		return fmt.Sprintf("+ %s: %s", path, c.New)
	case c.New == nil:
		return fmt.Sprintf("- %s: %s", path, c.Old)
	}
	return fmt.Sprintf("~ %s: %s, it was %s", path, c.New, c.Old)
}

// readable is the body of a snapshot as JSON that people can read, and that tells
// more than the body where that is the session of a chart; nil if there is none.
func readable(body []byte) json.RawMessage {
	if s, err := application.ReadSnapshot(body); err == nil {
		if b, err := json.Marshal(s); err == nil {
			return b
		}
	}
	if json.Valid(body) {
		return body
	}
	return nil
}

// writeReadable writes the body of a snapshot for people.
func writeReadable(w io.Writer, body []byte) error {
	var b bytes.Buffer
	if shown := readable(body); shown == nil || json.Indent(&b, bytes.TrimSpace(shown), "", "  ") != nil {
		_, err := fmt.Fprintf(w, "(%s that are no JSON)\n", size(uint64(len(body))))
		return err
	}
	b.WriteByte('\n')
	_, err := b.WriteTo(w)
	return err
}

func (a *app) snapshotDiffCommand() *cobra.Command {
	code := false
	cmd := &cobra.Command{
		Use:   "diff INSTANCE [OLD [NEW]]",
		Short: "Tell how two snapshots of an instance differ",
		Long: "Tell what was added (+), removed (-) and changed (~) from one snapshot to another, place by place where they are\n" +
			"JSON. Of a chart that runs as an application, the active states and the data are compared. Without NEW it is the newest, without OLD the one before that. Snapshots that are the same give no output.",
		Example:           "  chartroom snapshot diff counter\n  chartroom snapshot diff counter 3 7",
		Args:              cobra.RangeArgs(1, 3),
		ValidArgsFunction: a.completeSnapshots,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := withTimeout(cmd.Context())
			defer cancel()
			var changes []dataChange
			err := a.withFleet("compare snapshots of "+args[0], func(c fleetv1.FleetServiceClient) error {
				numbers, err := pair(ctx, c, args)
				if err != nil {
					return err
				}
				var bodies [2][]byte
				for i, n := range numbers {
					r, err := c.GetSnapshot(ctx, &fleetv1.GetSnapshotRequest{InstanceId: args[0], Number: n})
					if err != nil {
						return about(args[0], err)
					}
					bodies[i] = r.GetBody()
				}
				changes = compare(bodies[0], bodies[1])
				return nil
			})
			if err != nil {
				return err
			}
			return printLines(a, "changes", changes, code && len(changes) > 0)
		},
	}
	cmd.Flags().BoolVar(&code, "exit-code", false, "exit code 8 when they differ")
	return cmd
}

// pair gives the numbers of the two snapshots that args name or leave out.
func pair(ctx context.Context, c fleetv1.FleetServiceClient, args []string) (numbers [2]uint64, err error) {
	for i, text := range args[1:] {
		if numbers[i], err = number(text); err != nil {
			return numbers, err
		}
	}
	if len(args) == 3 {
		return numbers, nil
	}
	r, err := c.GetInstance(ctx, &fleetv1.GetInstanceRequest{InstanceId: args[0]})
	if err != nil {
		return numbers, err
	}
	kept := r.GetInstance().GetSnapshots() // newest first
	need := 3 - len(args)
	if len(kept) < need {
		return numbers, codeError{NotFound, fmt.Errorf("%s keeps %d of the %d snapshots that it takes\nAsk for one: chartroom snapshot take %s",
			r.GetInstance().GetInstanceId(), len(kept), need, args[0])}
	}
	numbers[1] = kept[0].GetNumber()
	if need == 2 {
		numbers[0] = kept[1].GetNumber()
	}
	return numbers, nil
}

// compare tells the places at which two bodies differ; those that are not JSON
// have one place.
func compare(before, after []byte) []dataChange {
	if bytes.Equal(before, after) {
		return nil
	}
	old, now := readable(before), readable(after)
	if old == nil || now == nil {
		return []dataChange{{Old: quantity(before), New: quantity(after)}}
	}
	return compareJSON(nil, "", old, now)
}

// quantity stands for a body that cannot be shown.
func quantity(body []byte) json.RawMessage {
	b, _ := json.Marshal(size(uint64(len(body))))
	return b
}

func compareJSON(list []dataChange, path string, before, after json.RawMessage) []dataChange {
	var old, now map[string]json.RawMessage
	if json.Unmarshal(before, &old) == nil && json.Unmarshal(after, &now) == nil && old != nil && now != nil {
		keys := maps.Clone(old)
		maps.Copy(keys, now)
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			list = compareJSON(list, join(path, k), old[k], now[k])
		}
		return list
	}
	var olds, nows []json.RawMessage
	if json.Unmarshal(before, &olds) == nil && json.Unmarshal(after, &nows) == nil && olds != nil && nows != nil {
		at := func(l []json.RawMessage, i int) json.RawMessage {
			if i < len(l) {
				return l[i]
			}
			return nil
		}
		for i := range max(len(olds), len(nows)) {
			list = compareJSON(list, fmt.Sprintf("%s[%d]", path, i), at(olds, i), at(nows, i))
		}
		return list
	}
	before, after = compact(before), compact(after)
	if !bytes.Equal(before, after) {
		list = append(list, dataChange{Path: path, Old: before, New: after})
	}
	return list
}

// join names a member of an object.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// compact is a value without the space between; nil stays nil.
func compact(value json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if value == nil || json.Compact(&b, value) != nil {
		return value
	}
	return b.Bytes()
}
