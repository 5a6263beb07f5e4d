// SPDX-License-Identifier: AGPL-3.0-or-later

// Package upstream knows which of the services behind the gateway do not serve, so
// that what they keep from being shown or done is put down to them.
//
// A [Monitor] is safe for concurrent use while it runs.
package upstream

import (
	"context"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/chartroom/chartroom/internal/transport"
	fleetv1 "github.com/chartroom/chartroom/proto/gen/chartroom/fleet/v1"
)

// every is how often the services are asked.
const every = 2 * time.Second

// Code is that of the findings.
const Code = "service.silent"

// Service is one of the services behind the gateway.
type Service struct {
	Name string
	Conn grpc.ClientConnInterface
}

// Monitor asks services for their health.
type Monitor struct {
	services []Service

	mu       sync.Mutex
	troubles map[string]string // by name, what follows it in a sentence
}

// New makes a monitor of services, each of which needs those before it.
func New(services ...Service) *Monitor {
	return &Monitor{services: services, troubles: map[string]string{}}
}

// Run asks until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		m.ask(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *Monitor) ask(ctx context.Context) {
	var asked sync.WaitGroup
	for _, s := range m.services {
		asked.Go(func() {
			trouble := transport.Trouble(ctx, s.Conn)
			m.mu.Lock()
			defer m.mu.Unlock()
			m.troubles[s.Name] = trouble
		})
	}
	asked.Wait()
}

// Serves says whether a service served when it was last asked.
func (m *Monitor) Serves(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.troubles[name] == ""
}

// Why names the services that do not serve, such as "statemachine does not answer".
// One that is there, and lacks another of them, is left out. It is empty when all do.
func (m *Monitor) Why() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var said []string
	for _, s := range m.services {
		trouble := m.troubles[s.Name]
		if trouble == "" || len(said) > 0 && strings.HasPrefix(trouble, "does not serve") {
			continue
		}
		said = append(said, s.Name+" "+trouble)
	}
	return strings.Join(said, ", ")
}

// Finding is [Monitor.Why] as a finding; nil when all serve. Whoever did not is asked
// again first, for a second at most: it may just have begun to.
func (m *Monitor) Finding(ctx context.Context) *fleetv1.Finding {
	if m.Why() != "" {
		m.ask(ctx)
	}
	why := m.Why()
	if why == "" {
		return nil
	}
	return &fleetv1.Finding{
		Code: Code, Message: why, Severity: fleetv1.Severity_SEVERITY_ERROR,
		Fix: "see whether it runs and what it logs; hosts and instances are unknown meanwhile",
	}
}
