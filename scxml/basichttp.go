// SPDX-License-Identifier: Apache-2.0

package scxml

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/chartroom/chartroom/scxml/datamodel"
)

// FormType is the content type of what [Send.HTTPBody] makes of parameters.
const FormType = "application/x-www-form-urlencoded"

// eventNameField is the form field that carries the name of an event (SCXML C.2).
const eventNameField = "_scxmleventname"

// HTTPBody gives the body of the POST that a send of [BasicHTTPProcessor]
// stands for (SCXML C.2): the event's name and the parameters as form fields in
// their order, duplicates included, or the content: text escaped as a form is, XML,
// and JSON for all else.
func (e Send) HTTPBody() (contentType, body string) {
	if e.Content && e.Event.Name == "" && len(e.Params) == 0 {
		switch v := e.Event.Data.(type) {
		case string:
			return FormType, strings.ReplaceAll(url.QueryEscape(v), "+", "%20")
		case datamodel.XML:
			return "application/xml", string(v)
		default:
			return "application/json", string(datamodel.AppendCanonical(nil, v))
		}
	}
	var fields []string
	field := func(name, value string) {
		fields = append(fields, url.QueryEscape(name)+"="+url.QueryEscape(value))
	}
	if e.Event.Name != "" {
		field(eventNameField, e.Event.Name)
	}
	for _, p := range e.Params {
		field(p.Name, formValue(p.Value))
	}
	if e.Content {
		field("content", formValue(e.Event.Data))
	}
	return FormType, strings.Join(fields, "&")
}

func formValue(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case datamodel.XML:
		return string(v)
	default:
		return string(datamodel.AppendCanonical(nil, v))
	}
}

// HTTPEvent gives the event that a request to the location of a session stands
// for (SCXML C.2): named by the form field _scxmleventname, else "HTTP.METHOD",
// with the other fields, or the body, as data, and the request as it came in as
// [Event.Raw]. Answer 2xx only after the event is durable in a queue.
func HTTPEvent(method, location, contentType, body string) Event {
	ev := Event{
		Name:       "HTTP." + strings.ToUpper(method),
		Type:       External,
		OriginType: BasicHTTPProcessor,
		Raw:        fmt.Sprintf("%s %s HTTP/1.1\r\nContent-Type: %s\r\n\r\n%s", strings.ToUpper(method), location, contentType, body),
	}
	if kind, _, _ := strings.Cut(contentType, ";"); strings.TrimSpace(kind) != FormType {
		ev.Data = datamodel.ParseContent(body)
		return ev
	}
	fields, err := url.ParseQuery(body)
	if err != nil || !strings.Contains(body, "=") {
		if text, err := url.QueryUnescape(body); err == nil {
			body = text
		}
		ev.Data = datamodel.ParseContent(body)
		return ev
	}
	data := map[string]any{}
	for name, values := range fields {
		if name == eventNameField {
			if values[0] != "" {
				ev.Name = strings.ToValidUTF8(values[0], "\uFFFD")
			}
			continue
		}
		// The last of a name wins, as for parameters elsewhere.
		data[strings.ToValidUTF8(name, "\uFFFD")] = values[len(values)-1]
	}
	if len(data) > 0 {
		ev.Data = data
	}
	return ev
}
