// SPDX-License-Identifier: AGPL-3.0-or-later

// Command spdx checks that every source file in the repository names its licence
// in its first lines: Apache-2.0 for what others build upon, AGPL-3.0-or-later for
// the rest (LICENSES/).
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// apache lists the paths under the Apache licence.
var apache = []string{"scxml/", "proto/", "examples/application/"}

// sources lists the endings of files that must carry a header. Files in scripts/
// have none.
var sources = []string{".go", ".ts", ".tsx", ".proto", ".scxml", ".sh", ".py", ".css", ".yaml", ".yml", ".lua", ".txt"}

// exempt lists what is not ours, or made by a program.
var exempt = []string{"proto/google/", "/gen/", "/testdata/", "/node_modules/", "/dist/", "/public/", "LICENSES/"}

func main() {
	root := flag.String("root", ".", "the repository")
	flag.Parse()
	out, err := exec.Command("git", "-C", *root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		fmt.Fprintf(os.Stderr, "list the files: %v\n", err)
		os.Exit(1)
	}
	bad := 0
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		want := licence(name)
		if want == "" {
			continue
		}
		head, err := firstLines(filepath.Join(*root, name), 3)
		if os.IsNotExist(err) {
			continue // removed and not yet committed
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if !bytes.Contains(head, []byte("SPDX-License-Identifier: "+want)) {
			fmt.Printf("%s: the first lines do not say SPDX-License-Identifier: %s\n", name, want)
			bad++
		}
	}
	if bad > 0 {
		os.Exit(1)
	}
}

// licence returns the licence that a file has to name, "" for none.
func licence(name string) string {
	if slices.ContainsFunc(exempt, func(part string) bool { return strings.Contains("/"+name, part) || strings.HasPrefix(name, part) }) {
		return ""
	}
	script := strings.HasPrefix(name, "scripts/") || name == "Makefile" || strings.HasPrefix(path.Base(name), "Dockerfile") &&
		!strings.HasSuffix(name, ".dockerignore")
	if !script && !slices.Contains(sources, path.Ext(name)) {
		return ""
	}
	if slices.ContainsFunc(apache, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
		return "Apache-2.0"
	}
	return "AGPL-3.0-or-later"
}

func firstLines(name string, n int) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var head []byte
	for lines := bufio.NewScanner(f); n > 0 && lines.Scan(); n-- {
		head = append(append(head, lines.Bytes()...), '\n')
	}
	return head, nil
}
