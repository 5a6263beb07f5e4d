// SPDX-License-Identifier: AGPL-3.0-or-later

package readmodel

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// Errors of reads. Callers branch on them with errors.Is.
var (
	// ErrNotReady says that the store was not listed yet: try again soon.
	ErrNotReady = errors.New("the fleet has not been read yet")
	// ErrInstanceUnknown says that there is no such instance.
	ErrInstanceUnknown = errors.New("no such instance")
	// ErrInstanceAmbiguous says that a bare name is had by several hosts.
	ErrInstanceAmbiguous = errors.New("several hosts have an instance of that name")
	// ErrPageToken says that a page token is not one of ours.
	ErrPageToken = errors.New("page token is not valid")
)

// StateUnknown selects, as a filter, the instances that are unknown.
const StateUnknown = "unknown"

// Filter selects instances; the zero value selects all.
type Filter struct {
	// State is active in the configuration; [StateUnknown] selects unknown
	// instances. An unknown instance is in no other state: what was last known
	// of it is no answer to what is.
	State string
	// Host is the host id.
	Host string
	// Managed selects managed ones only.
	Managed bool
	// Query is contained in the instance id, ignoring case.
	Query string
}

// Page is a part of a list.
type Page struct {
	// Instances in order of their id.
	Instances []*fleetv1.Instance
	// Next is the token of the following page; empty on the last.
	Next string
	// Total counts what the filter selects over all pages.
	Total int
}

// Instances reads a page of at most size instances after token. It returns
// [ErrPageToken] or [ErrNotReady].
func (m *Model) Instances(f Filter, size int, token string) (Page, error) {
	after, err := pageStart(token)
	if err != nil {
		return Page{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.ready {
		return Page{}, ErrNotReady
	}
	now := time.Now()
	query := strings.ToLower(f.Query)
	var p Page
	for _, id := range m.ids {
		v := m.instance(id)
		if !m.selects(f, query, v, now) {
			continue
		}
		p.Total++
		switch {
		case id <= after && after != "":
		case len(p.Instances) < size:
			p.Instances = append(p.Instances, m.shownInstance(v, now))
		case p.Next == "":
			last := p.Instances[len(p.Instances)-1].GetInstanceId()
			p.Next = base64.RawURLEncoding.EncodeToString([]byte("after:" + last))
		}
	}
	return p, nil
}

func pageStart(token string) (after string, err error) {
	if token == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", ErrPageToken
	}
	after, ok := strings.CutPrefix(string(b), "after:")
	if !ok || after == "" {
		return "", ErrPageToken
	}
	return after, nil
}

func (m *Model) selects(f Filter, query string, v *fleetv1.Instance, now time.Time) bool {
	if f.Host != "" && v.GetHostId() != f.Host || f.Managed && !v.GetManaged() {
		return false
	}
	if query != "" && !strings.Contains(strings.ToLower(v.GetInstanceId()), query) &&
		!strings.Contains(strings.ToLower(v.GetName()), query) {
		return false
	}
	if f.State == "" {
		return true
	}
	reason, _ := m.doubt(v, now)
	unknown := reason != ""
	if unknown || f.State == StateUnknown {
		return unknown && f.State == StateUnknown
	}
	return slices.Contains(v.GetConfiguration(), f.State)
}

// Instance reads the instance of an id, or of a bare name when exactly one
// host has it. It returns [ErrInstanceUnknown], [ErrInstanceAmbiguous] (naming
// the candidates) or [ErrNotReady].
func (m *Model) Instance(id string) (*fleetv1.Instance, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.ready {
		return nil, ErrNotReady
	}
	now := time.Now()
	if v := m.instance(id); v != nil {
		return m.shownInstance(v, now), nil
	}
	if strings.Contains(id, "@") {
		return nil, fmt.Errorf("instance %q: %w", id, ErrInstanceUnknown)
	}
	prefix := id + "@"
	at, _ := slices.BinarySearch(m.ids, prefix)
	var found []string
	for ; at < len(m.ids) && strings.HasPrefix(m.ids[at], prefix); at++ {
		found = append(found, m.ids[at])
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("instance %q: %w", id, ErrInstanceUnknown)
	case 1:
		return m.shownInstance(m.instance(found[0]), now), nil
	default:
		shown := strings.Join(found[:min(len(found), 5)], ", ")
		return nil, fmt.Errorf("instance %q: %w: %s", id, ErrInstanceAmbiguous, shown)
	}
}

// Hosts reads all hosts by id.
func (m *Model) Hosts() ([]*fleetv1.Host, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.ready {
		return nil, ErrNotReady
	}
	now := time.Now()
	var hosts []*fleetv1.Host
	for k, e := range m.byKey {
		if k.kind == kindHost {
			hosts = append(hosts, m.shownHost(e.Value.(*item).host, now))
		}
	}
	slices.SortFunc(hosts, func(a, b *fleetv1.Host) int { return cmp.Compare(a.GetHostId(), b.GetHostId()) })
	return hosts, nil
}

// Charts reads all charts, by name, newest first within a name.
func (m *Model) Charts() ([]*fleetv1.Chart, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.ready {
		return nil, ErrNotReady
	}
	var charts []*fleetv1.Chart
	for k, e := range m.byKey {
		if k.kind == kindChart {
			charts = append(charts, e.Value.(*item).chart)
		}
	}
	slices.SortFunc(charts, func(a, b *fleetv1.Chart) int {
		return cmp.Or(cmp.Compare(a.GetName(), b.GetName()),
			b.GetCreateTime().AsTime().Compare(a.GetCreateTime().AsTime()),
			cmp.Compare(a.GetDigest(), b.GetDigest()))
	})
	return charts, nil
}

// Counts is the size of the model.
type Counts struct {
	Instances, Hosts, HostsUnknown int
}

// Counts reads the size of the model, for metrics.
func (m *Model) Counts() Counts {
	m.mu.RLock()
	defer m.mu.RUnlock()
	now := time.Now()
	c := Counts{Instances: len(m.ids)}
	for k, e := range m.byKey {
		if k.kind != kindHost {
			continue
		}
		c.Hosts++
		if m.hostUnknown(e.Value.(*item).host, now) {
			c.HostsUnknown++
		}
	}
	return c
}

// shallow copies a message but shares its sub-messages, which are never
// changed: a list of 10,000 rows is copied in milliseconds.
func shallow[M proto.Message](m M) M {
	from := m.ProtoReflect()
	to := from.New()
	from.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		to.Set(fd, v)
		return true
	})
	return to.Interface().(M)
}
