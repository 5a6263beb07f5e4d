// SPDX-License-Identifier: AGPL-3.0-or-later

package cli_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// caller sends its address to the data item url, and ends when somebody says so.
const caller = `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="ecmascript">
  <datamodel><data id="url"/><data id="at" expr="_ioprocessors.basichttp.location"/></datamodel>
  <state id="idle"><transition event="go"><send type="basichttp" targetexpr="url" event="hello" namelist="at"/></transition>
    <transition event="bye" target="end"/><transition event="error.communication"><log label="failed" expr="_event.data.reason"/></transition></state>
  <final id="end"/>
</scxml>`

// A chart sends its address to a server, which sends an event to it.
func TestChartRunByHTTP(t *testing.T) {
	t.Parallel()
	chart := filepath.Join(files(t, map[string]string{"c.scxml": caller}), "c.scxml")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := r.FormValue("_scxmleventname"); name != "hello" {
			t.Errorf("the chart sends %q", name)
		}
		response, err := http.PostForm(r.FormValue("at"), url.Values{"_scxmleventname": {"bye"}})
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("the event is answered with %s", response.Status)
		}
	}))
	t.Cleanup(server.Close)
	data := `{"url": "` + server.URL + `/"}`
	code, out, fault := run(t, nil, `{"name": "go"}`, "chart", "run", "--listen", "127.0.0.1:0", "--allow-send", server.URL, "--data", data, chart)
	if code != 0 || !strings.Contains(out, `"done":{"state":"end"}`) || !strings.Contains(fault, "takes events by HTTP at http://127.0.0.1:") {
		t.Errorf("exit code %d: %s%s", code, out, fault)
	}
}

// What is not allowed is refused; the answer is waited for after the end of input.
func TestChartRunSendsAsAllowed(t *testing.T) {
	t.Parallel()
	chart := filepath.Join(files(t, map[string]string{"c.scxml": caller}), "c.scxml")
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(server.Close)
	for _, test := range []struct{ url, want string }{
		{server.URL + "/in/a", "status 418"},
		{server.URL + "/out", "is not allowed"},
	} {
		code, out, fault := run(t, nil, `{"name": "go"}`, "chart", "run", "--allow-send", server.URL+"/in/", "--data", `{"url": "`+test.url+`"}`, chart)
		if code != 0 || !strings.Contains(out, `"label":"failed"`) || !strings.Contains(out, test.want) {
			t.Errorf("%s: exit code %d, want %q: %s%s", test.url, code, test.want, out, fault)
		}
	}
	// Without any of the options nothing is sent.
	code, out, fault := run(t, nil, `{"name": "go"}`, "chart", "run", "--data", `{"url": "`+server.URL+`/in/a"}`, chart)
	if code != 0 || strings.Contains(out, "failed") || !strings.Contains(out, `"kind":"send"`) {
		t.Errorf("without a network: exit code %d: %s%s", code, out, fault)
	}
	if asked != 1 {
		t.Errorf("the server was asked %d times, want once", asked)
	}
}

func TestChartRunLoadsAsAllowed(t *testing.T) {
	t.Parallel()
	library := files(t, map[string]string{"child.scxml": strings.Replace(caller, "idle", "end2", 1) + "<!-- -->"})
	child := filepath.Join(library, "child.scxml")
	chart := filepath.Join(files(t, map[string]string{"c.scxml": `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" datamodel="null">
	  <state id="s"><invoke src="file://` + filepath.ToSlash(child) + `"/><transition event="error.communication" target="refused"/></state><final id="refused"/></scxml>`}), "c.scxml")
	for _, test := range []struct {
		load    string
		refused bool
	}{{child, false}, {library, false}, {t.TempDir(), true}} {
		code, out, fault := run(t, nil, "", "chart", "run", "--allow-load", test.load, chart)
		if code != 0 || strings.Contains(out, `"state":"refused"`) != test.refused || strings.Contains(out, `"entered":["end2"]`) == test.refused {
			t.Errorf("%s: exit code %d: %s%s", test.load, code, out, fault)
		}
	}
}

func TestChartRunWithANetworkIsCareful(t *testing.T) {
	t.Parallel()
	dir := files(t, map[string]string{
		"script.scxml": strings.Replace(caller, `<final id="end"/>`, `<final id="end"><onentry><script>1 + 1</script></onentry></final>`, 1),
		"loop.scxml":   strings.Replace(caller, `<final id="end"/>`, `<final id="end"><onentry><script>for (;;);</script></onentry></final>`, 1),
	})
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"script.scxml"}, 2, "it has to be trusted"},
		{[]string{"script.scxml", "--trust"}, 0, `"done":{"state":"end"}`},
		{[]string{"loop.scxml", "--trust", "--timeout", "50ms"}, 0, `"fault":"a step took too long`},
		{[]string{"script.scxml", "--clock", "virtual"}, 2, "does not go with a network"},
		{[]string{"script.scxml", "--allow-send", "nowhere"}, 2, "no URL"},
		{[]string{"script.scxml", "--listen", "nowhere"}, 2, "--listen"},
		{[]string{"script.scxml", "--listen", "0.0.0.0:0"}, 2, "others could send events"},
		{[]string{"script.scxml", "--allow-load", "nothing"}, 2, "no such file"},
	} {
		args := append([]string{"chart", "run", "--allow-send", "http://localhost/", filepath.Join(dir, test.args[0])}, test.args[1:]...)
		code, out, fault := run(t, nil, `{"name": "bye"}`, args...)
		if code != test.code || !strings.Contains(out+fault, test.want) {
			t.Errorf("%v: exit code %d, want %d and %q: %s%s", test.args, code, test.code, test.want, out, fault)
		}
	}
}
