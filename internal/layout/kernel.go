// SPDX-License-Identifier: AGPL-3.0-or-later

package layout

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/dop251/goja"
)

//go:embed elk/elk-worker.min.js
var kernelSource string

// compiled is the kernel's program, compiled at first use: it takes a second.
var compiled = sync.OnceValues(func() (*goja.Program, error) {
	return goja.Compile("elk-worker.min.js", kernelSource, false)
})

// kernel is a JavaScript runtime with the layout kernel loaded. It is for one
// goroutine at a time.
type kernel struct {
	vm     *goja.Runtime
	handle goja.Callable
	answer string
}

// newKernel loads the kernel, which was written as a web worker: it is given
// messages and posts its answers.
func newKernel() (*kernel, error) {
	program, err := compiled()
	if err != nil {
		return nil, fmt.Errorf("compile the layout kernel: %w", err)
	}
	k := &kernel{vm: goja.New()}
	vm := k.vm
	globals := map[string]any{
		"self": vm.GlobalObject(),
		"postMessage": func(c goja.FunctionCall) goja.Value {
			b, err := c.Argument(0).ToObject(vm).MarshalJSON()
			if err != nil {
				panic(vm.NewGoError(err))
			}
			k.answer = string(b)
			return goja.Undefined()
		},
		// It defers by timers of no delay only; at once is as good.
		"setTimeout": func(c goja.FunctionCall) goja.Value {
			if f, ok := goja.AssertFunction(c.Argument(0)); ok {
				if _, err := f(goja.Undefined()); err != nil {
					panic(vm.NewGoError(err))
				}
			}
			return vm.ToValue(1)
		},
		"clearTimeout": func(goja.FunctionCall) goja.Value { return goja.Undefined() },
	}
	for name, v := range globals {
		if err := vm.Set(name, v); err != nil {
			return nil, fmt.Errorf("prepare the layout kernel: %w", err)
		}
	}
	if _, err := vm.RunProgram(program); err != nil {
		return nil, fmt.Errorf("load the layout kernel: %w", err)
	}
	handle, ok := goja.AssertFunction(vm.Get("onmessage"))
	if !ok {
		return nil, errors.New("load the layout kernel: it takes no messages")
	}
	k.handle = handle
	if err := k.call(map[string]any{"id": 0, "cmd": "register", "algorithms": []string{"layered"}}, nil); err != nil {
		return nil, fmt.Errorf("load the layout kernel: %w", err)
	}
	return k, nil
}

// call gives the kernel a message and reads its answer.
func (k *kernel) call(message any, answer any) error {
	b, err := json.Marshal(map[string]any{"data": message})
	if err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	parse, _ := goja.AssertFunction(k.vm.Get("JSON").ToObject(k.vm).Get("parse"))
	v, err := parse(goja.Undefined(), k.vm.ToValue(string(b)))
	if err != nil {
		return fmt.Errorf("hand over a message: %w", err)
	}
	k.answer = ""
	if _, err := k.handle(goja.Undefined(), v); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	var a struct {
		Error *struct {
			Message string `json:"message"`
		} `json:"error"`
		Data json.RawMessage `json:"data"`
	}
	if k.answer == "" {
		return errors.New("no answer")
	}
	if err := json.Unmarshal([]byte(k.answer), &a); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if a.Error != nil {
		return errors.New(a.Error.Message)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(a.Data, answer); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// elkNode, elkEdge and elkLabel are the kernel's JSON, in both directions.
type elkNode struct {
	ID       string            `json:"id"`
	X        float64           `json:"x,omitempty"`
	Y        float64           `json:"y,omitempty"`
	Width    float64           `json:"width,omitempty"`
	Height   float64           `json:"height,omitempty"`
	Options  map[string]string `json:"layoutOptions,omitempty"`
	Children []*elkNode        `json:"children,omitempty"`
	Edges    []*elkEdge        `json:"edges,omitempty"`
}

type elkEdge struct {
	ID       string     `json:"id"`
	Sources  []string   `json:"sources"`
	Targets  []string   `json:"targets"`
	Labels   []elkLabel `json:"labels,omitempty"`
	Sections []struct {
		Start Point   `json:"startPoint"`
		End   Point   `json:"endPoint"`
		Bends []Point `json:"bendPoints"`
	} `json:"sections,omitempty"`
}

type elkLabel struct {
	Text   string  `json:"text"`
	X      float64 `json:"x,omitempty"`
	Y      float64 `json:"y,omitempty"`
	Width  float64 `json:"width"`
	Height float64 `json:"height"`
}

// part places boxes that lines connect. It is interrupted when ctx ends; the
// kernel is then of no more use.
func (k *kernel) part(
	ctx context.Context, boxes []*box, lines []*line, inner map[*box]*area,
) (*area, error) {
	defer context.AfterFunc(ctx, func() { k.vm.Interrupt(ctx.Err()) })()
	root := &elkNode{ID: "root", Options: rootOptions}
	ids := map[*box]string{}
	for _, b := range boxes {
		root.Children = append(root.Children, toELK(b, ids, inner))
	}
	for i, l := range lines {
		e := &elkEdge{ID: "e" + strconv.Itoa(i), Sources: []string{ids[l.source]}, Targets: []string{ids[l.target]}}
		if l.width > 0 {
			e.Labels = []elkLabel{{Text: "x", Width: l.width + 6, Height: float64(len(l.edges))*lineHeight + 2}}
		}
		root.Edges = append(root.Edges, e)
	}
	placed := &elkNode{}
	message := map[string]any{
		"id": 1, "cmd": "layout", "graph": root, "layoutOptions": map[string]any{}, "options": map[string]any{},
	}
	if err := k.call(message, placed); err != nil {
		return nil, fmt.Errorf("lay out: %w", err)
	}
	return placed.area(lines, ids, inner)
}

// rootOptions tune the kernel: top to bottom, lines at right angles, one
// layout over all levels so that lines may cross the borders of states.
var rootOptions = map[string]string{
	"elk.algorithm":                                                    "layered",
	"elk.direction":                                                    "DOWN",
	"elk.hierarchyHandling":                                            "INCLUDE_CHILDREN",
	"elk.edgeRouting":                                                  "ORTHOGONAL",
	"elk.json.edgeCoords":                                              "ROOT",
	"elk.padding":                                                      "[top=0,left=0,bottom=0,right=0]",
	"elk.layered.thoroughness":                                         "2", // the default of 7 takes half as long again
	"elk.spacing.nodeNode":                                             "26",
	"elk.spacing.edgeNode":                                             "14",
	"elk.spacing.edgeEdge":                                             "10",
	"elk.spacing.edgeLabel":                                            "3",
	"elk.layered.spacing.nodeNodeBetweenLayers":                        "28",
	"elk.layered.spacing.edgeNodeBetweenLayers":                        "14",
	"elk.layered.spacing.edgeEdgeBetweenLayers":                        "10",
	"elk.layered.considerModelOrder.strategy":                          "NODES_AND_EDGES",
	"elk.layered.nodePlacement.strategy":                               "NETWORK_SIMPLEX",
	"elk.layered.nodePlacement.favorStraightEdges":                     "true",
	"elk.layered.crossingMinimization.semiInteractive":                 "false",
	"elk.layered.edgeLabels.sideSelection":                             "ALWAYS_DOWN",
	"elk.layered.compaction.postCompaction.strategy":                   "EDGE_LENGTH",
	"elk.layered.compaction.connectedComponents":                       "true",
	"elk.layered.mergeEdges":                                           "false",
	"elk.layered.feedbackEdges":                                        "true",
	"elk.layered.unnecessaryBendpoints":                                "false",
	"elk.separateConnectedComponents":                                  "false",
	"elk.layered.wrapping.strategy":                                    "OFF",
	"elk.layered.nodePlacement.networkSimplex.nodeFlexibility.default": "NONE",
}

// toELK hands a box to the kernel, closed when its contents are placed.
func toELK(b *box, ids map[*box]string, inner map[*box]*area) *elkNode {
	n := &elkNode{ID: "n" + strconv.Itoa(len(ids))}
	ids[b] = n.ID
	if in := inner[b]; in != nil {
		n.Width, n.Height = in.w, in.h
		return n
	}
	n.Options = map[string]string{
		"elk.padding":              fmt.Sprintf("[top=%g,left=12,bottom=12,right=12]", b.head+8),
		"elk.nodeSize.constraints": "MINIMUM_SIZE",
		"elk.nodeSize.minimum":     fmt.Sprintf("(%g,%g)", b.width, b.head+20),
	}
	for _, c := range b.children {
		n.Children = append(n.Children, toELK(c, ids, inner))
	}
	return n
}

// area reads what the kernel placed.
func (n *elkNode) area(lines []*line, ids map[*box]string, inner map[*box]*area) (*area, error) {
	if len(n.Edges) != len(lines) {
		return nil, fmt.Errorf("read the layout: %d lines of %d", len(n.Edges), len(lines))
	}
	places := map[string]rect{}
	var walk func(n *elkNode, x, y float64)
	walk = func(n *elkNode, x, y float64) {
		x, y = x+n.X, y+n.Y
		places[n.ID] = rect{x, y, n.Width, n.Height}
		for _, c := range n.Children {
			walk(c, x, y)
		}
	}
	walk(n, 0, 0)
	out := newArea()
	for b, id := range ids {
		r := places[id]
		if in := inner[b]; in != nil {
			out.take(in, r.x, r.y)
		} else {
			out.places[b] = r
		}
	}
	for i, l := range lines {
		var r route
		for _, s := range n.Edges[i].Sections {
			r.points = append(append(append(r.points, s.Start), s.Bends...), s.End)
		}
		if labels := n.Edges[i].Labels; len(labels) > 0 {
			r.label = Point{labels[0].X + 3, labels[0].Y + 1}
		}
		out.routes[l] = r
	}
	out.w, out.h = n.Width, n.Height
	return out, nil
}
