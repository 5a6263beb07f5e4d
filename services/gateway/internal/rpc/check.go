// SPDX-License-Identifier: AGPL-3.0-or-later

package rpc

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// Bounds of requests; the proto files promise them.
const (
	defaultPage    = 100
	maxPage        = 1000
	maxIDBytes     = 200
	maxNameBytes   = 100
	maxEventBytes  = 200
	maxDataBytes   = 256 << 10
	maxDataDepth   = 200 // what a chart can hold, less what it wraps data in
	maxRequestID   = 64
	maxDocument    = 1 << 20
	maxBody        = 4 << 20
	maxSpecEntries = 1000
	maxSpecBytes   = 256 << 10
)

func pageSize(n uint32) (int, error) {
	switch {
	case n == 0:
		return defaultPage, nil
	case n > maxPage:
		return 0, invalid("page_size is %d, the most is %d", n, maxPage)
	default:
		return int(n), nil
	}
}

func plain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.-", r)
}

func checkInstanceID(id string) error {
	if id == "" {
		return invalid("instance_id is empty")
	}
	if len(id) > maxIDBytes {
		return invalid("instance_id has %d bytes, the most is %d", len(id), maxIDBytes)
	}
	for _, r := range id {
		if !plain(r) && r != '@' {
			return invalid("instance_id has %q; letters, digits and \"_.@-\" are allowed", r)
		}
	}
	return nil
}

func checkName(name string) error {
	if name == "" {
		return invalid("the name is empty")
	}
	if len(name) > maxNameBytes {
		return invalid("the name has %d bytes, the most is %d", len(name), maxNameBytes)
	}
	for _, r := range name {
		if !plain(r) {
			return invalid("the name has %q; letters, digits and \"_.-\" are allowed", r)
		}
	}
	return nil
}

func checkRequestID(id string) error {
	if len(id) > maxRequestID {
		return invalid("request_id has %d bytes, the most is %d", len(id), maxRequestID)
	}
	for _, r := range id {
		if r < ' ' || r == utf8.RuneError {
			return invalid("request_id has a control character")
		}
	}
	return nil
}

func checkEvent(r *fleetv1.SendEventRequest) error {
	name := r.GetEvent()
	if name == "" {
		return invalid("event is empty")
	}
	if len(name) > maxEventBytes {
		return tooLarge("event has %d bytes, the most is %d", len(name), maxEventBytes)
	}
	for token := range strings.SplitSeq(name, ".") {
		if token == "" {
			return invalid("event %q has an empty token", name)
		}
	}
	for _, c := range name {
		if c == '*' || c == utf8.RuneError || unicode.IsSpace(c) || !unicode.IsPrint(c) {
			return invalid("event %q has %q, which an event name cannot have", name, c)
		}
	}
	if r.GetData() != nil {
		if err := checkData(r.GetData(), r.GetData()); err != nil {
			return err
		}
	}
	return checkRequestID(r.GetRequestId())
}

// checkData checks the data m, whose values are in v.
func checkData(m proto.Message, v *structpb.Value) error {
	if !within(v, maxDataDepth) {
		return invalid("data is nested more than %d deep", maxDataDepth)
	}
	b, err := protojson.Marshal(m)
	if err != nil {
		return invalid("data is not JSON: %v", err)
	}
	if len(b) > maxDataBytes {
		return tooLarge("data has %d bytes, the most is %d", len(b), maxDataBytes)
	}
	return nil
}

// within says whether v is nested at most depth deep.
func within(v *structpb.Value, depth int) bool {
	if depth < 0 {
		return false
	}
	for _, e := range v.GetListValue().GetValues() {
		if !within(e, depth-1) {
			return false
		}
	}
	for _, e := range v.GetStructValue().GetFields() {
		if !within(e, depth-1) {
			return false
		}
	}
	return true
}

// checkReserved refuses, for an instance with a target, the names under which
// only the agent and the runtime speak: a client must not be able to forge an
// observation.
func checkReserved(v *fleetv1.Instance, event string) error {
	if v.GetHostId() == "" {
		return nil
	}
	switch first, _, _ := strings.Cut(event, "."); first {
	case "docker", "device", "app", "done", "error", "breaker":
		return invalid("event %q is reserved: only the agent says %q of a target", event, first+".*")
	}
	return nil
}

func checkCreate(r *fleetv1.CreateInstanceRequest) error {
	if r.GetName() != "" {
		if err := checkName(r.GetName()); err != nil {
			return err
		}
	}
	if r.GetChart() != "" {
		if err := checkName(r.GetChart()); err != nil {
			return err
		}
	}
	if len(r.GetHostId()) > maxIDBytes {
		return invalid("host_id has %d bytes, the most is %d", len(r.GetHostId()), maxIDBytes)
	}
	if err := checkRequestID(r.GetRequestId()); err != nil {
		return err
	}
	c := r.GetContainer()
	switch {
	case c == nil && r.GetHostId() != "":
		return invalid("container is needed with host_id")
	case c == nil && r.GetChart() == "":
		return invalid("a container or a chart is needed")
	case c != nil && r.GetData() != nil:
		return invalid("data is for free instances; a container takes its options from labels")
	case c == nil && r.GetData() != nil:
		return checkData(r.GetData(), structpb.NewStructValue(r.GetData()))
	case c == nil:
		return nil
	}
	return checkContainer(c)
}

func checkContainer(c *fleetv1.ContainerSpec) error {
	if c.GetImage() == "" {
		return invalid("container.image is empty")
	}
	size := len(c.GetImage()) + len(c.GetNetwork())
	count := len(c.GetLabels())
	for _, list := range [][]string{c.GetCommand(), c.GetEnvironment(), c.GetMounts()} {
		count += len(list)
		for _, v := range list {
			size += len(v)
		}
	}
	for k, v := range c.GetLabels() {
		size += len(k) + len(v)
	}
	if count > maxSpecEntries || size > maxSpecBytes {
		return tooLarge("container has %d entries of %d bytes; the most is %d and %d",
			count, size, maxSpecEntries, maxSpecBytes)
	}
	for _, e := range c.GetEnvironment() {
		if i := strings.IndexByte(e, '='); i <= 0 {
			return invalid("container.environment has %q, which is not NAME=VALUE", e)
		}
	}
	for _, m := range c.GetMounts() {
		source, target, ok := strings.Cut(m, ":")
		if !ok || source == "" || !strings.HasPrefix(target, "/") {
			return invalid("container.mounts has %q, which is not SOURCE:/path", m)
		}
	}
	return nil
}
