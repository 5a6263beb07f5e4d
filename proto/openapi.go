// SPDX-License-Identifier: Apache-2.0

// Package proto holds what is generated from the protos and is not Go.
package proto

import _ "embed"

//go:embed gen/openapi/fleet.swagger.json
var openAPI []byte

// OpenAPI is the OpenAPI 2.0 description of chartroom.fleet.v1.FleetService,
// as JSON. The caller must not change it.
func OpenAPI() []byte { return openAPI }
