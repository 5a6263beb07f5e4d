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
	case reflect.TypeFor[map[string]any](), reflect.TypeFor[*protected]():
		return "Object"
	case reflect.TypeFor[[][2]any]():
		return "Map"
	case reflect.TypeFor[[]any]():
		return "Set"
	}
	return "special object"
}
