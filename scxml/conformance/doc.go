// SPDX-License-Identifier: Apache-2.0

// Package conformance runs the W3C implementation report plan and the scripted
// tests of SCION against package scxml, by the manifests in the folder that
// CHARTROOM_CONFORMANCE names. It holds tests only.
package conformance
