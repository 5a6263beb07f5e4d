// SPDX-License-Identifier: AGPL-3.0-or-later

package engine

import (
	"context"
	"fmt"
	"maps"
	"strings"
)

// Only gives an engine on which containers without a label, "NAME=VALUE", are
// [Outside]: they are observed and never touched. So two fleets can share an
// engine, and a demonstration or a test cannot act on what it did not make. What is
// created through it gets the label.
func Only(e Engine, label string) (Engine, error) {
	name, value, ok := strings.Cut(label, "=")
	if !ok || name == "" || value == "" {
		return nil, fmt.Errorf("label %q: want NAME=VALUE", label)
	}
	return only{e, name, value, Outside{
		Why: fmt.Sprintf("the agent here acts only on containers with the label %s (--only)", label),
		Fix: fmt.Sprintf("make it with the labels chartroom.enable=true and %s, or start an agent without --only", label),
	}}, nil
}

// Demo marks what a demonstration made.
const Demo = "chartroom.demo"

// WithoutDemos gives an engine on which the containers of a demonstration, which has
// a fleet of its own, are [Outside]. Without it a fleet that is started beside one
// would restore, and start again, what the other does.
func WithoutDemos(e Engine) Engine {
	return only{e, Demo, "", Outside{
		Why: "it belongs to a demonstration, which has a fleet of its own",
		Fix: "see the dashboard whose address the demonstration printed",
	}}
}

// only leaves to an agent what has the label with the value, or, for the empty value,
// what does not have it.
type only struct {
	Engine
	name, value string
	outside     Outside
}

// Inspect implements Engine.
func (o only) Inspect(ctx context.Context, id string) (Container, error) {
	c, err := o.Engine.Inspect(ctx, id)
	if err == nil && c.Labels[o.name] != o.value {
		c.Outside = o.outside
	}
	return c, err
}

// Create implements Engine.
func (o only) Create(ctx context.Context, spec Spec) (string, error) {
	if o.value == "" {
		return o.Engine.Create(ctx, spec)
	}
	spec.Labels = maps.Clone(spec.Labels)
	if spec.Labels == nil {
		spec.Labels = map[string]string{}
	}
	spec.Labels[o.name] = o.value
	return o.Engine.Create(ctx, spec)
}
