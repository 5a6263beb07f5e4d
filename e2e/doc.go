// SPDX-License-Identifier: AGPL-3.0-or-later

// Package e2e tests chartroom from outside: the static binaries of bin/ as
// processes of their own, a real Docker engine and a real Redis, and faults that
// are real kills. What the fleet says is compared with witnesses that are none of
// ours: the engine's inspect and events, and what the application wrote down.
//
// A test without an engine is skipped, unless CHARTROOM_REQUIRE names it. Tests
// run one after another, since a fault in one would be seen by another; cases that
// only touch an application of their own share a fleet and run together. Whatever
// a test makes carries the label chartroom.test and goes with it; what an
// interrupt leaves behind of this run is removed by scripts/tidy.
//
// The environment: CHARTROOM_BIN is the folder of the binaries (../bin by
// default), CHARTROOM_APP_IMAGE the image that runs an SCXML file as an application,
// CHARTROOM_REDIS_IMAGE and CHARTROOM_PYTHON_IMAGE images of those; scripts/e2e
// sets them all.
package e2e
