// SPDX-License-Identifier: Apache-2.0

package scxml_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// allowedImports are what the kernel may import, and why what is not here is
// missing: each such package would let a step depend on something else than
// its input, or do something else than return its effects.
var allowedImports = map[string][]string{
	".": {
		"bufio", "bytes", "cmp", "crypto/sha256", "encoding/hex", "encoding/json", "encoding/xml", "errors", "fmt", "io",
		"maps", "math/bits", "net/url", "regexp", "slices", "strconv", "strings", "time", "unicode", "unicode/utf16",
		// For what a chart remembers (tables.go): a pool and atomic pointers.
		"encoding/binary", "sync", "sync/atomic",
		"github.com/chartroom/chartroom/scxml/datamodel",
	},
	"datamodel": {
		"encoding/json", "encoding/xml", "errors", "fmt", "io", "maps", "math", "math/rand/v2", "regexp", "slices",
		"strconv", "strings", "sync/atomic", "time", "unicode/utf8",
		// For telling whether two values are the same one (alias.go), and what an object of
		// goja is (class.go).
		"reflect",
		"github.com/dop251/goja", "github.com/dop251/goja/ast", "github.com/dop251/goja/parser", "github.com/dop251/goja/token",
	},
}

// reasons explain the refusals that people are most likely to meet.
var reasons = map[string]string{
	"context":      "the kernel never blocks, so there is nothing to cancel",
	"log":          "the kernel returns its trace as data; who calls it logs",
	"log/slog":     "the kernel returns its trace as data; who calls it logs",
	"net":          "the kernel returns effects; who calls it sends",
	"net/http":     "the kernel returns effects; who calls it sends",
	"os":           "files are loaded by Options.Load of the caller",
	"sync":         "the kernel has one owner at a time and no goroutine; only a chart is shared",
	"math/rand":    "randomness comes from Input.Seed alone",
	"math/rand/v2": "randomness comes from Input.Seed alone",
	"crypto/rand":  "randomness comes from Input.Seed alone",
}

// forbiddenCalls are functions of allowed packages that read the world.
var forbiddenCalls = map[string]string{
	"time.Now":       "the time comes from Input.Now",
	"time.Since":     "the time comes from Input.Now",
	"time.Until":     "the time comes from Input.Now",
	"time.Sleep":     "delays are data: Interpreter.Pending",
	"time.After":     "delays are data: Interpreter.Pending",
	"time.AfterFunc": "delays are data: Interpreter.Pending",
	"time.NewTimer":  "delays are data: Interpreter.Pending",
	"time.NewTicker": "delays are data: Interpreter.Pending",
	"time.Tick":      "delays are data: Interpreter.Pending",
	"time.Local":     "the time zone belongs to the machine; use UTC",
	"sync.Mutex":     "the kernel has one owner at a time",
	"sync.RWMutex":   "the kernel has one owner at a time",
	"sync.Cond":      "the kernel never blocks",
	"sync.WaitGroup": "the kernel has no goroutine",
	"fmt.Print":      "the kernel writes nothing",
	"fmt.Printf":     "the kernel writes nothing",
	"fmt.Println":    "the kernel writes nothing",
	"rand.Float64":   "the global source is not a function of Input.Seed",
	"rand.Int":       "the global source is not a function of Input.Seed",
	"rand.IntN":      "the global source is not a function of Input.Seed",
	"rand.Uint64":    "the global source is not a function of Input.Seed",
}

// TestPurity holds law 1, that the kernel is pure.
func TestPurity(t *testing.T) {
	t.Parallel()
	for dir, allowed := range allowedImports {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in %s: %v", dir, err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				checkFile(t, file, allowed)
			}
		}
	}
}

func checkFile(t *testing.T, file string, allowed []string) {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, complaint := range impurities(t, file, src, allowed) {
		t.Error(complaint)
	}
}

func impurities(t *testing.T, file string, src []byte, allowed []string) []string {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, src, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, spec := range f.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		ok := false
		for _, a := range allowed {
			ok = ok || a == path
		}
		if !ok {
			reason := reasons[path]
			if reason == "" {
				reason = "it is not on the list of pure packages; if it is pure, add it"
			}
			out = append(out, file+" imports "+path+": "+reason)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				if reason := forbiddenCalls[x.Name+"."+n.Sel.Name]; reason != "" {
					out = append(out, fset.Position(n.Pos()).String()+" uses "+x.Name+"."+n.Sel.Name+": "+reason)
				}
			}
		case *ast.GoStmt:
			out = append(out, fset.Position(n.Pos()).String()+" starts a goroutine: the kernel has none")
		case *ast.ChanType:
			out = append(out, fset.Position(n.Pos()).String()+" has a channel: the kernel has none")
		}
		return true
	})
	return out
}

// TestPurityNotices makes sure that the test above can fail.
func TestPurityNotices(t *testing.T) {
	t.Parallel()
	src := []byte("package x\nimport (\"os\"; \"time\")\nvar a = time.Now()\nfunc f() { go f(); os.Exit(1) }\nvar c chan int\n")
	if got := impurities(t, "x.go", src, []string{"time"}); len(got) != 4 {
		t.Errorf("found %q, want 4 complaints", got)
	}
}
