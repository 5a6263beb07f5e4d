// SPDX-License-Identifier: AGPL-3.0-or-later

package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chartroom/chartroom/e2e/internal/rig"
)

// A project is deploy/compose.yaml under a name of its own.
type project struct {
	name, port string
	env        []string
}

// compose runs docker compose on one of the files in deploy/.
func (p *project) compose(t *testing.T, ctx context.Context, file string, arguments ...string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, rig.Path(t, "scripts", "compose"), append([]string{"-f", rig.Path(t, "deploy", file)}, arguments...)...)
	cmd.Env = append(os.Environ(), p.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("compose -f %s %s: %v\n%s", file, strings.Join(arguments, " "), err, out)
	}
	return string(out)
}

// cli runs chartroom inside the gateway's container, where the certificates and
// the token are.
func (p *project) cli(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "docker", append([]string{"exec", p.name + "-gateway-1", "chartroom", "--server", "localhost:7400"}, arguments...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("chartroom %s: %w: %s", strings.Join(arguments, " "), err, out)
	}
	return string(out), nil
}

// deploy/compose.yaml comes up, the bot of deploy/examples is killed by hand, and
// resumes where it was; only the gateway is published, and on loopback.
func TestComposeBotResumes(t *testing.T) {
	rig.Engine(t)
	if out, err := exec.CommandContext(t.Context(), rig.Path(t, "scripts", "compose"), "version").CombinedOutput(); err != nil {
		rig.Missing(t, "compose", string(out))
	}
	_, port, _ := net.SplitHostPort(rig.FreeAddress(t))
	p := &project{name: "chartroom-" + rig.RunID(), port: port}
	bot := p.name + "-bot"
	p.env = []string{
		"COMPOSE_PROJECT_NAME=" + p.name, "CHARTROOM_PORT=" + port, "CHARTROOM_HOST=deck", "CHARTROOM_RUN_VOLUME=" + p.name + "-run",
		"CHARTROOM_BOT_NAME=" + bot, "CHARTROOM_ONLY=com.docker.compose.project=" + bot,
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if t.Failed() {
			t.Logf("%s", p.compose(t, ctx, "compose.yaml", "logs", "--tail", "40"))
		}
		bots := &project{env: append(p.env, "COMPOSE_PROJECT_NAME="+bot)}
		bots.compose(t, ctx, "examples/bot/compose.yaml", "down", "--volumes", "--timeout", "1")
		p.compose(t, ctx, "compose.yaml", "down", "--volumes", "--timeout", "5")
		for _, what := range []string{"container", "volume", "network"} {
			out, err := exec.Command("docker", what, "ls", "--quiet", "--filter", "label=com.docker.compose.project="+p.name).Output()
			if left := strings.TrimSpace(string(out)); err != nil || left != "" {
				t.Errorf("after compose down there is a %s left: %s (%v)", what, left, err)
			}
		}
	})
	p.compose(t, t.Context(), "compose.yaml", "up", "--detach", "--wait", "--wait-timeout", "120")

	published := map[string]bool{}
	for line := range strings.Lines(p.compose(t, t.Context(), "compose.yaml", "ps", "--format", "json")) {
		var c struct {
			Service    string
			Publishers []struct {
				URL           string
				PublishedPort int
			}
		}
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			continue
		}
		for _, at := range c.Publishers {
			if at.PublishedPort != 0 {
				published[c.Service+" "+at.URL] = true
			}
		}
	}
	if len(published) != 1 || !published["gateway 127.0.0.1"] {
		t.Errorf("published: %v, want the gateway on loopback alone", published)
	}

	address := regexp.MustCompile(`https://localhost:\d+/login#token=(\S+)`).FindStringSubmatch(p.compose(t, t.Context(), "compose.yaml", "logs", "init"))
	if address == nil {
		t.Fatal("init does not print the address of the dashboard")
	}
	checkDashboard(t, "https://localhost:"+port, address[1])

	bots := &project{env: append(p.env, "COMPOSE_PROJECT_NAME="+bot)}
	bots.compose(t, t.Context(), "examples/bot/compose.yaml", "up", "--detach")
	rig.Eventually(t, 30*time.Second, "the bot is seen running", func() error {
		out, err := p.cli(t, "describe", bot+"@deck", "-o", "json")
		if err == nil && !strings.Contains(out, "running") {
			err = fmt.Errorf("%s", out)
		}
		return err
	})
	rig.Eventually(t, 30*time.Second, "the bot counts", func() error {
		if n := len(countOf(t, bot).numbers); n < 5 {
			return fmt.Errorf("it counted %d times", n)
		}
		return nil
	})
	docker(t, "kill", bot)
	resumes(t, bot, 1)

	// Stopped, and its file spoilt: what it is started with is the snapshot.
	if _, err := p.cli(t, "stop", bot+"@deck"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.cli(t, "wait", bot+"@deck", "--state", "user_requested", "--timeout", "30s"); err != nil {
		t.Fatal(err)
	}
	spoilt := filepath.Join(t.TempDir(), "bot.json")
	if err := os.WriteFile(spoilt, []byte(`{"number": 1000}`), 0o644); err != nil {
		t.Fatal(err)
	}
	docker(t, "cp", spoilt, bot+":/state/bot.json")
	if _, err := p.cli(t, "start", bot+"@deck"); err != nil {
		t.Fatal(err)
	}
	resumes(t, bot, 2)
	mainJob(t, p, "com.docker.compose.project="+bot)
}

// mainJob runs a chart in a container through the services of compose: killed by the
// host, it comes back with its state and gets what was sent while it was down.
func mainJob(t *testing.T, p *project, only string) {
	t.Helper()
	run := func(arguments ...string) string {
		t.Helper()
		out, err := p.cli(t, arguments...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	name := p.name + "-hello"
	rig.RemoveByName(t, name)
	run("run", "--name", name, "-e", "CHARTROOM_SOCKET=/run/chartroom/hello.sock", "-v", p.name+"-run:/run/chartroom",
		"-l", rig.Label+"="+rig.RunID(), "-l", only, "-l", "chartroom.breaker.timeout="+patience.String(), rig.AppImage(t))
	var want []string
	send := func() {
		t.Helper()
		number := strconv.Itoa(len(want) + 1)
		run("send", name, "hello", `{"number": `+number+`}`)
		want = append(want, number)
	}
	send()
	send()
	rig.Eventually(t, 10*time.Second, "a snapshot of the clean start, and one after each event", func() error {
		if said := run("snapshot", "ls", name); !strings.Contains(said, "#3 ") {
			return fmt.Errorf("%s", said)
		}
		return nil
	})
	rig.KillTarget(t, name)
	send()
	send()
	rig.Eventually(t, 30*time.Second, "it is back with its state", func() error {
		if said := rig.Logs(t, name); !strings.Contains(said, "restored, 2 events contained") {
			return fmt.Errorf("it wrote %s", said)
		}
		return nil
	})
	run("send", name, "report")
	report := "report: [" + strings.Join(want, ",") + "]"
	rig.Eventually(t, 30*time.Second, "it has everything once, in order", func() error {
		if said := rig.Logs(t, name); !strings.Contains(said, report) {
			return fmt.Errorf("it wrote %s, want %s", said, report)
		}
		return nil
	})
}

// docker runs the engine's own client.
func docker(t *testing.T, arguments ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "docker", arguments...).CombinedOutput(); err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
}

// count is what a bot wrote: every number of its last run, where that run resumed,
// and the last number before. runs is how many runs resumed.
type count struct {
	numbers               []int
	before, resumed, runs int
}

var botLine = regexp.MustCompile(`^(resumed from )?#(\d+)$`)

func countOf(t *testing.T, bot string) count {
	t.Helper()
	var c count
	for line := range strings.Lines(rig.Logs(t, bot)) {
		m := botLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatalf("the bot wrote %q", line)
		}
		if m[1] == "" {
			c.numbers = append(c.numbers, n)
			continue
		}
		c = count{before: c.last(), resumed: n, runs: c.runs + 1}
	}
	return c
}

// last is the newest number, which is that of the run before until it counts.
func (c count) last() int {
	if len(c.numbers) == 0 {
		return c.before
	}
	return c.numbers[len(c.numbers)-1]
}

// resumes waits until the bot has resumed so many times and has counted on, and
// checks that it did so where it was: it may have saved a number that it did not
// come to write.
func resumes(t *testing.T, bot string, runs int) {
	t.Helper()
	var c count
	rig.Eventually(t, 30*time.Second, "the bot resumes and counts on", func() error {
		if c = countOf(t, bot); c.runs != runs || len(c.numbers) == 0 {
			return fmt.Errorf("it resumed %d times and counted %v", c.runs, c.numbers)
		}
		return nil
	})
	if c.resumed != c.before && c.resumed != c.before+1 || c.numbers[0] != c.resumed+1 {
		t.Errorf("it had written #%d, resumed from #%d and went on with #%d", c.before, c.resumed, c.numbers[0])
	}
	t.Logf("it had written #%d and resumed from #%d", c.before, c.resumed)
}

// checkDashboard logs in as a browser does and reads the page.
func checkDashboard(t *testing.T, url, token string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	// The certificate is of the project's own CA, which no browser knows either.
	browser := &http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: 10 * time.Second}
	get := func(path string) (int, string) {
		ask, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(path, "/v1/") {
			ask.Header.Set("Accept", "text/html")
		}
		r, err := browser.Do(ask)
		if err != nil {
			t.Fatalf("GET %s: %v", path, err)
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		return r.StatusCode, string(body)
	}
	if code, _ := get("/v1/instances"); code != http.StatusUnauthorized {
		t.Errorf("without the token: status %d, want 401", code)
	}
	if code, page := get("/login?token=" + token); code != http.StatusOK || !strings.Contains(page, `<div id="root">`) {
		t.Errorf("with the token: status %d, page %.200q", code, page)
	}
	if code, said := get("/v1/instances"); code != http.StatusOK {
		t.Errorf("after the login: status %d, %s", code, said)
	}
}
