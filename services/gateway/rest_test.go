// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestREST says which status, reason and header each kind of request gets.
func TestREST(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store.PutInstance(instance("twin@h1", 0, "started"))
	r.store.PutInstance(instance("twin@h2", 0, "started"))
	eventually(t, "both twins are read", func() bool {
		code, _, _ := r.get(t, "/v1/instances/twin@h2")
		return code == http.StatusOK
	})
	tests := []struct {
		name, method, path, body string
		code                     int
		reason                   string
		contains                 string
	}{
		{name: "list", path: "/v1/instances?page_size=2", code: 200, contains: `"totalSize":5`},
		{name: "page token of another", path: "/v1/instances?page_token=zzz", code: 400, reason: "ARGUMENT_INVALID"},
		{name: "page too large", path: "/v1/instances?page_size=1001", code: 400, reason: "ARGUMENT_INVALID"},
		{name: "get", path: "/v1/instances/bot1@h1", code: 200, contains: `"instanceId":"bot1@h1"`},
		{name: "get by bare name", path: "/v1/instances/bot1", code: 200, contains: `"instanceId":"bot1@h1"`},
		{name: "unknown instance", path: "/v1/instances/nobody", code: 404, reason: "INSTANCE_UNKNOWN"},
		{name: "ambiguous name", path: "/v1/instances/twin", code: 400, reason: "INSTANCE_AMBIGUOUS", contains: "twin@h2"},
		{name: "bad id", path: "/v1/instances/a%20b", code: 400, reason: "ARGUMENT_INVALID"},
		{name: "id that is not UTF-8", path: "/v1/instances/%ff", code: 400, reason: "ARGUMENT_INVALID", contains: "UTF-8"},
		{name: "query that is not UTF-8", path: "/v1/instances?state=%ff", code: 400, reason: "ARGUMENT_INVALID"},
		{name: "send", method: "POST", path: "/v1/instances/bot1:send", body: `{"event":"hi","data":{"a":1}}`, code: 200, contains: `"outcome":"OUTCOME_QUEUED"`},
		{name: "send to nobody", method: "POST", path: "/v1/instances/nobody@h9:send", body: `{"event":"full"}`, code: 429, reason: "QUEUE_FULL"},
		{name: "refused by state", method: "POST", path: "/v1/instances/bot1:send", body: `{"event":"system.stop"}`, code: 409, reason: "STATE_REFUSES", contains: `"allowedIntents":["system.start"]`},
		{name: "queue full", method: "POST", path: "/v1/instances/bot1:send", body: `{"event":"full"}`, code: 429, reason: "QUEUE_FULL"},
		{name: "away", method: "POST", path: "/v1/instances/bot1:send", body: `{"event":"away"}`, code: 503, reason: "UNAVAILABLE"},
		{name: "internal", method: "POST", path: "/v1/instances/bot1:send", body: `{"event":"broken"}`, code: 500},
		{name: "reserved event", method: "POST", path: "/v1/instances/bot1:send", body: `{"event":"docker.die"}`, code: 400, reason: "ARGUMENT_INVALID"},
		{name: "bad event", method: "POST", path: "/v1/instances/bot1:send", body: `{"event":"a..b"}`, code: 400, reason: "ARGUMENT_INVALID"},
		{name: "data nested too deeply", method: "POST", path: "/v1/instances/bot1:send", body: `{"event":"a","data":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`, code: 400, reason: "ARGUMENT_INVALID", contains: "nested"},
		{name: "data nested deeper than charts hold", method: "POST", path: "/v1/instances/bot1:send", body: `{"event":"a","data":` + strings.Repeat("[", 202) + strings.Repeat("]", 202) + `}`, code: 400, reason: "ARGUMENT_INVALID", contains: "nested"},
		{name: "misspelt field", method: "POST", path: "/v1/instances/bot1:send", body: `{"evnt":"a"}`, code: 400, reason: "ARGUMENT_INVALID"},
		{name: "the instance of the path again", method: "POST", path: "/v1/instances/bot1:send", body: `{"instanceId":"bot1","event":"hi"}`, code: 200},
		{name: "another instance than in the path", method: "POST", path: "/v1/instances/bot1:send", body: `{"instanceId":"bot2","event":"hi"}`, code: 400, reason: "ARGUMENT_INVALID", contains: `instanceId is \"bot2\" in the body and \"bot1\" in the path`},
		{name: "query beside a body", method: "POST", path: "/v1/instances/bot1:send?requestId=r1", body: `{"event":"hi"}`, code: 400, reason: "ARGUMENT_INVALID", contains: "requestId"},
		{name: "misspelt parameter", path: "/v1/instances?stat=running", code: 400, reason: "ARGUMENT_INVALID", contains: `no parameter \"stat\" here; there are state, hostId, managed, query, pageSize, pageToken`},
		{name: "parameter where there is none", path: "/v1/hosts?state=away", code: 400, reason: "ARGUMENT_INVALID", contains: "there is none"},
		{name: "parameter of the path", path: "/v1/instances/bot1/log?instance_id=bot2", code: 400, reason: "ARGUMENT_INVALID", contains: "in the path"},
		{name: "misspelt parameter of a stream", path: "/v1/watch?tokn=a", code: 400, reason: "ARGUMENT_INVALID", contains: "tokn"},
		{name: "not JSON", method: "POST", path: "/v1/instances/bot1:send", body: `{"event":`, code: 400, reason: "ARGUMENT_INVALID"},
		{name: "event too large", method: "POST", path: "/v1/instances/bot1:send", body: `{"event":"a","data":"` + strings.Repeat("x", 256<<10) + `"}`, code: 413, reason: "TOO_LARGE"},
		{name: "body too large", method: "POST", path: "/v1/instances/bot1:send", body: `{"event":"a","data":"` + strings.Repeat("x", 8<<20) + `"}`, code: 413, reason: "TOO_LARGE"},
		{name: "create without anything", method: "POST", path: "/v1/instances", body: `{}`, code: 400, reason: "ARGUMENT_INVALID"},
		{name: "create on a host that is not there", method: "POST", path: "/v1/instances", body: `{"hostId":"h9","container":{"image":"a"}}`, code: 404, reason: "HOST_UNKNOWN"},
		{name: "create with a bad mount", method: "POST", path: "/v1/instances", body: `{"container":{"image":"a","mounts":["x"]}}`, code: 400, reason: "ARGUMENT_INVALID"},
		{name: "create", method: "POST", path: "/v1/instances", body: `{"container":{"image":"registry.example/team/bot:7"},"requestId":"r1"}`, code: 200, contains: `"instanceId":"bot-`},
		{name: "push a bad chart", method: "POST", path: "/v1/charts", body: `{"name":"bad","document":"<bad"}`, code: 400, reason: "CHART_INVALID", contains: `"line":3,"column":7`},
		{name: "push a large chart", method: "POST", path: "/v1/charts", body: `{"name":"bad","document":"` + strings.Repeat("x", 1<<20+1) + `"}`, code: 413, reason: "TOO_LARGE"},
		{name: "unknown chart", path: "/v1/charts/nothing", code: 404, reason: "CHART_UNKNOWN"},
		{name: "unknown snapshot", path: "/v1/instances/bot1/snapshots/3", code: 404, reason: "SNAPSHOT_UNKNOWN"},
		{name: "wait times out", path: "/v1/instances/bot1:wait?state=stopped&timeout=0.05s", code: 504},
		{name: "wait is there", path: "/v1/instances/bot1:wait?state=running", code: 200},
		{name: "logs", path: "/v1/instances/bot1/logs", code: 200, contains: `"data":"b25lIGxpbmUK"`},
		{name: "logs of nobody", path: "/v1/instances/nobody/logs", code: 404, reason: "INSTANCE_UNKNOWN"},
		{name: "hosts", path: "/v1/hosts", code: 200, contains: `"hostId":"h1"`},
		{name: "version of the gateway", path: "/v1/hosts", code: 200, contains: `"serverVersion":"dev"`},
		{name: "nothing there", path: "/v1/nothing", code: 404},
		{name: "wrong method", method: "DELETE", path: "/v1/hosts", code: 501},
		{name: "description", path: "/openapi.json", code: 200, contains: `"title":"chartroom"`},
		{name: "ready", path: "/readyz", code: 200},
		{name: "metrics", path: "/metrics", code: 200, contains: "chartroom_gateway_instances 5"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			method := test.method
			if method == "" {
				method = http.MethodGet
			}
			code, header, body := r.call(t, method, test.path, test.body)
			if code != test.code {
				t.Fatalf("status %d, want %d; body %.300s", code, test.code, body)
			}
			// protojson puts spaces where it likes.
			if flat := strings.ReplaceAll(body, " ", ""); !strings.Contains(flat, strings.ReplaceAll(test.contains, " ", "")) {
				t.Errorf("body %.600s\nlacks %s", body, test.contains)
			}
			if strings.Contains(body, "secret") {
				t.Errorf("body tells internals: %s", body)
			}
			if code < 400 {
				return
			}
			var e struct{ Code, Message, Reason string }
			if err := json.Unmarshal([]byte(body), &e); err != nil || e.Code == "" || e.Message == "" {
				t.Fatalf("error body %q: %v", body, err)
			}
			if e.Reason != test.reason {
				t.Errorf("reason %q, want %q", e.Reason, test.reason)
			}
			if want := map[string]string{"queue full": "2", "away": "1"}[test.name]; header.Get("Retry-After") != want && want != "" {
				t.Errorf("Retry-After %q, want %q", header.Get("Retry-After"), want)
			}
		})
	}
}

func (r *rig) get(t *testing.T, path string) (int, http.Header, string) {
	t.Helper()
	return r.call(t, http.MethodGet, path, "")
}

func (r *rig) call(t *testing.T, method, path, body string, edit ...func(*http.Request)) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range edit {
		f(req)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}
