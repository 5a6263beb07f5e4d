// SPDX-License-Identifier: AGPL-3.0-or-later

package layers

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/chartroom/chartroom"

// aPackage is what `go list -json` says of one, as far as it is read here.
type aPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// forbidden returns why a package must not import another, "" when it may.
// Tests obey the same rules, save that they may use a real client to look at
// what the code did.
func forbidden(importer, imported string, test bool) string {
	from, inside := strings.CutPrefix(importer, module+"/")
	to, ours := strings.CutPrefix(imported, module+"/")
	if !inside {
		from = ""
	}
	under := func(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
	switch {
	case under(from, "scxml") && ours && !under(to, "scxml"):
		return "the kernel imports nothing of ours: strangers import it"
	case under(from, "proto") && ours && !under(to, "proto"):
		return "the protocol imports nothing of ours"
	case ours && under(from, "services") && under(to, "services") && service(from) != service(to):
		return "services never import each other: they speak over their protocol"
	case ours && under(from, "internal") && under(to, "services"):
		return "what services share cannot depend on one of them"
	case ours && under(from, "charts") && !under(to, "scxml") && !test:
		return "charts are data"
	case ours && under(to, "cmd"):
		return "commands are not imported"
	case (under(imported, "github.com/docker/docker") || under(imported, "github.com/moby/moby")) && !test && !under(from, "services/dockeragent/internal/engine") && !under(from, "e2e"):
		return "only services/dockeragent/internal/engine knows the Docker client"
	case strings.HasPrefix(imported, "github.com/redis/go-redis/") && !test && !under(from, "services/snapshot/internal/redisstore") && !under(from, "bench"):
		return "only services/snapshot/internal/redisstore knows the Redis client"
	case strings.HasPrefix(imported, "github.com/cockroachdb/pebble/") && !test && !under(from, "services/snapshot/internal/filestore") && !under(from, "bench"):
		return "only services/snapshot/internal/filestore knows Pebble"
	case strings.HasPrefix(imported, module+"/proto/gen/") && !test && below(from):
		return "messages of the protocol stay in rpc packages; convert at the edge"
	}
	return ""
}

// service returns the name of the service that a path under services/ is of.
func service(path string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, "services/"), "/")
	return name
}

// below reports whether a package lies below the rpc packages of its service:
// where hand-written code keeps its own types. session and dispatch of
// statemachine hold the messages that they store and send: decision 4.
func below(path string) bool {
	for _, name := range []string{
		"services/statemachine/internal/delay",
		"services/dockeragent/internal/engine", "services/dockeragent/internal/observe", "services/dockeragent/internal/journal",
		"services/dockeragent/internal/channel", "services/snapshot/internal/store", "services/snapshot/internal/redisstore",
		"services/snapshot/internal/filestore", "services/snapshot/internal/blob",
	} {
		if path == name || strings.HasPrefix(path, name+"/") {
			return true
		}
	}
	return false
}

func TestImportsKeepTheLayers(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports",
		module+"/...", module+"/scxml/...", module+"/proto/...", module+"/e2e/...")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &said)
	}
	seen := 0
	for d := json.NewDecoder(bytes.NewReader(out)); ; seen++ {
		var p aPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		for _, imported := range p.Imports {
			if why := forbidden(p.ImportPath, imported, false); why != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, imported, why)
			}
		}
		for _, imported := range append(p.TestImports, p.XTestImports...) {
			if why := forbidden(p.ImportPath, imported, true); why != "" {
				t.Errorf("the tests of %s import %s: %s", p.ImportPath, imported, why)
			}
		}
	}
	if seen < 5 {
		t.Errorf("go list found %d packages: the rules were tested on next to nothing", seen)
	}
}

func TestForbidden(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		from, to string
		test     bool
		allowed  bool
	}{
		{"services/gateway", module + "/services/snapshot", false, false},
		{"services/gateway", module + "/services/gateway/internal/mux", false, true},
		{"services/gatewayish", module + "/services/gateway", false, false},
		{"services/gateway", module + "/services/snapshot", true, false},
		{"services/dockeragent/internal/engine", "github.com/docker/docker/client", false, true},
		{"services/dockeragent/internal/observe", "github.com/docker/docker/client", false, false},
		{"services/dockeragent/internal/observe", "github.com/docker/docker/client", true, true},
		{"cmd/chartroom", "github.com/docker/docker/client", false, false},
		{"cmd/chartroom", "github.com/moby/moby/client", false, false},
		{"e2e/internal/rig", "github.com/moby/moby/client", false, true},
		{"services/snapshot/internal/redisstore", "github.com/redis/go-redis/v9", false, true},
		{"services/snapshot/internal/store", "github.com/redis/go-redis/v9", false, false},
		{"services/statemachine", "github.com/cockroachdb/pebble/v2", false, false},
		{"scxml", module + "/internal/need", false, false},
		{"scxml", module + "/scxml/datamodel", false, true},
		{"proto/gen/x", module + "/internal/need", false, false},
		{"internal/layout", module + "/services/gateway", false, false},
		{"services/statemachine/internal/delay", module + "/proto/gen/chartroom/fleet/v1", false, false},
		{"services/statemachine/internal/session", module + "/proto/gen/chartroom/fleet/v1", false, true},
		{"services/statemachine/internal/rpc", module + "/proto/gen/chartroom/fleet/v1", false, true},
		{"cmd/chartroom", module + "/services/gateway", false, true},
	} {
		if why := forbidden(module+"/"+test.from, test.to, test.test); (why == "") != test.allowed {
			t.Errorf("%s imports %s (test %v): allowed %v, want %v: %q", test.from, test.to, test.test, why == "", test.allowed, why)
		}
	}
}
