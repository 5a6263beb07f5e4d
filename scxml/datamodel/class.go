// SPDX-License-Identifier: Apache-2.0

package datamodel

import (
	"reflect"

	"github.com/dop251/goja"
)

// classOf is the class of o. goja calls a Map an Object, and others that hold more than
// their properties; what they are in Go tells them.
func classOf(o *goja.Object) string {
	if class := o.ClassName(); class != "Object" {
		return class
	}
	switch o.ExportType() {
	case reflect.TypeFor[map[string]any]():
		return hiding(o)
	case reflect.TypeFor[*protected]():
		return "Object"
	case reflect.TypeFor[[][2]any]():
		return "Map"
	case reflect.TypeFor[[]any]():
		return "Set"
	}
	return "special object"
}

// hiders are the types in goja of objects that are maps in Go and hold what no property
// tells.
var hiders = map[string]string{
	"weakMapObject": "WeakMap", "weakSetObject": "WeakSet", "generatorObject": "Generator",
	"arrayIterObject": "Iterator", "mapIterObject": "Iterator", "setIterObject": "Iterator",
	"stringIterObject": "Iterator", "regExpStringIterObject": "Iterator",
}

// implementation is the field of an object that has what it is in goja.
var implementation, _ = reflect.TypeFor[goja.Object]().FieldByName("self")

// hiding is the class of an object that says that it is an Object. goja has no way to ask
// for what is hidden in one, so that its types are looked at; nothing of them is used.
func hiding(o *goja.Object) string {
	// What has the prototype of all objects, or none, was made by no class.
	if p := o.Prototype(); p == nil || p.Prototype() == nil {
		return "Object"
	}
	self := reflect.Indirect(reflect.ValueOf(o).Elem().FieldByIndex(implementation.Index).Elem())
	if class, ok := hiders[self.Type().Name()]; ok {
		return class
	}
	if private := self.FieldByName("privateElements"); private.IsValid() {
		for of := private.MapRange(); of.Next(); {
			if of.Value().Elem().FieldByName("fields").Len() > 0 {
				return "object with private fields"
			}
		}
	}
	return "Object"
}
