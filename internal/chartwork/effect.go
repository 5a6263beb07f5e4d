// SPDX-License-Identifier: AGPL-3.0-or-later

package chartwork

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/chartroom/chartroom/scxml"
	"github.com/chartroom/chartroom/scxml/datamodel"
)

// Effect is an effect as JSON: its fields, and its kind. Values that JSON does
// not know are written as [scxml.Interpreter.Data] gives them.
type Effect struct{ scxml.Effect }

// MarshalJSON implements json.Marshaler.
func (e Effect) MarshalJSON() ([]byte, error) {
	// Not json.Marshal, which writes & as \u0026: no encoder around takes that back.
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(plainEffect(e.Effect)); err != nil {
		return nil, err
	}
	b := bytes.TrimSpace(text.Bytes())
	head := fmt.Sprintf(`{"kind":%q`, e.Kind())
	if len(b) > 2 {
		head += ","
	}
	return append([]byte(head), b[1:]...), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (e *Effect) UnmarshalJSON(b []byte) error {
	var kind struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(b, &kind); err != nil {
		return err
	}
	switch kind.Kind {
	case "send":
		return read[scxml.Send](e, b)
	case "cancel":
		return read[scxml.Cancel](e, b)
	case "invoke":
		return read[scxml.Invoke](e, b)
	case "uninvoke":
		return read[scxml.Uninvoke](e, b)
	case "forward":
		return read[scxml.Forward](e, b)
	case "log":
		return read[scxml.Log](e, b)
	case "done":
		return read[scxml.Done](e, b)
	}
	return fmt.Errorf("unknown effect %q", kind.Kind)
}

func read[E scxml.Effect](e *Effect, b []byte) error {
	var v E
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	e.Effect = v
	return nil
}

// plainEffect is e with plain JSON values.
func plainEffect(e scxml.Effect) scxml.Effect {
	switch e := e.(type) {
	case scxml.Send:
		e.Event = plainEvent(e.Event)
		params := make([]scxml.Param, 0, len(e.Params))
		for _, p := range e.Params {
			params = append(params, scxml.Param{Name: p.Name, Value: datamodel.Plain(p.Value)})
		}
		e.Params = params
		return e
	case scxml.Invoke:
		e.Content = datamodel.Plain(e.Content)
		e.Data, _ = datamodel.Plain(e.Data).(map[string]any)
		return e
	case scxml.Forward:
		e.Event = plainEvent(e.Event)
		return e
	case scxml.Log:
		e.Value = datamodel.Plain(e.Value)
		return e
	case scxml.Done:
		e.Data = datamodel.Plain(e.Data)
		return e
	}
	return e
}

func plainEvent(ev scxml.Event) scxml.Event {
	ev.Data = datamodel.Plain(ev.Data)
	return ev
}
