package app_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/app"
	"sluice/pkg/natstest"
)

// TestSetup: the command prepares a server elsewhere for all services, or for those that
// are named, and starts none.
func TestSetup(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args     []string
		services string
		replicas int
	}{
		{args: []string{"setup"}, services: "a b", replicas: 1},
		{args: []string{"setup", "b", "--replicas", "3"}, services: "b", replicas: 3},
	} {
		got := make(chan app.Setup, 1)
		j := &journal{}
		program := app.Program{
			Services: []app.Service{serviceOf("a", &part{name: "a", journal: j}), serviceOf("b", &part{name: "b", journal: j})},
			Setup: func(ctx context.Context, js jetstream.JetStream, _ *slog.Logger, what app.Setup) error {
				got <- what
				_, err := js.AccountInfo(ctx)
				return err
			},
		}
		srv := natstest.Start(t)
		p := launch(t, program, map[string]string{"NATS_URL": srv.URL()}, row.args...)
		if code := p.exit(t); code != 0 || p.stdout.String() != "NATS at "+srv.URL()+" is set up\n" {
			t.Fatalf("%v: exit code %d, %s%s", row.args, code, p.stdout, p.stderr)
		}
		if what := <-got; strings.Join(what.Services, " ") != row.services || what.Replicas != row.replicas {
			t.Errorf("%v: prepared for %+v", row.args, what)
		}
		if j.String() != "" {
			t.Errorf("%v: ran %s", row.args, j)
		}
	}
}

func TestCommandsThatCannotWork(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"sluice: setup needs a NATS server: ":                          {"setup"},
		"sluice: there is no service \"nobody\"":                       {"setup", "nobody"},
		"sluice: flag --replicas: nats.replicas: 6 is not from 1 to 5": {"--replicas", "6"},
		"sluice: health needs the --ops address":                       {"health"},
		"sluice: flag --ops: ops.address: \"here\" is not an address":  {"--ops", "here"},
		"sluice: nobody answers: Get \"http://127.0.0.1:1/readyz\": ":  {"health", "--ops", "127.0.0.1:1"},
	} {
		p := launch(t, app.Program{Services: []app.Service{idle}}, nil, args...)
		if line := p.fails(t); !strings.HasPrefix(line, want) {
			t.Errorf("%v: %s", args, line)
		}
	}
}

// TestOps: a process says how it is, to people and to the command health.
func TestOps(t *testing.T) {
	t.Parallel()
	well := &part{name: "well", journal: &journal{}}
	ill := &part{name: "ill", journal: &journal{}, health: errBroken}
	for _, row := range []struct {
		part   *part
		status int
		state  string
		code   int
	}{
		{well, http.StatusOK, "ok\n", 0},
		{ill, http.StatusServiceUnavailable, "one: broken on purpose\n", 1},
	} {
		program := app.Program{Services: []app.Service{serviceOf("one", row.part)}}
		p := launch(t, program, nil, "--data", t.TempDir(), "--ops", "127.0.0.1:0")
		_, said, _ := strings.Cut(p.ready(t), "Ops   http://")
		address, _, _ := strings.Cut(said, "\n")
		if status, body := get(t, "http://"+address+"/healthz"); status != http.StatusOK || body != "ok\n" {
			t.Errorf("%s lives: %d %q", row.part.name, status, body)
		}
		if status, body := get(t, "http://"+address+"/readyz"); status != row.status || body != row.state {
			t.Errorf("%s is ready: %d %q", row.part.name, status, body)
		}
		asking := launch(t, app.Program{Services: []app.Service{idle}}, nil, "health", "--ops", address)
		if code := asking.exit(t); code != row.code || !strings.Contains(asking.stdout.String()+asking.stderr.String(), strings.TrimSpace(row.state)) {
			t.Errorf("%s, asked: exit code %d, %s%s", row.part.name, code, asking.stdout, asking.stderr)
		}
		p.stop()
		if code := p.exit(t); code != 0 {
			t.Errorf("%s ends with %d: %s", row.part.name, code, p.stderr)
		}
		if code := launch(t, app.Program{Services: []app.Service{idle}}, nil, "health", "--ops", address).exit(t); code != 1 {
			t.Errorf("%s is gone, and healthy: exit code %d", row.part.name, code)
		}
	}
}

// TestOpsMetrics: and to Prometheus.
func TestOpsMetrics(t *testing.T) { //nolint:paralleltest // what measures is the process's: another program would take its place
	p := launch(t, app.Program{Services: []app.Service{idle}}, nil, "--data", t.TempDir(), "--ops", "127.0.0.1:0")
	_, said, _ := strings.Cut(p.ready(t), "Ops   http://")
	address, _, _ := strings.Cut(said, "\n")
	if status, body := get(t, "http://"+address+"/metrics"); status != http.StatusOK || !strings.Contains(body, "target_info") {
		t.Errorf("it measures: %d %q", status, body)
	}
	p.stop()
	if code := p.exit(t); code != 0 {
		t.Errorf("it ends with %d: %s", code, p.stderr)
	}
}

// TestOpsAddressTaken: nothing is started behind an address that somebody else has.
func TestOpsAddressTaken(t *testing.T) {
	t.Parallel()
	first := launch(t, app.Program{Services: []app.Service{idle}}, nil, "--data", t.TempDir(), "--ops", "127.0.0.1:0")
	_, said, _ := strings.Cut(first.ready(t), "Ops   http://")
	address, _, _ := strings.Cut(said, "\n")
	second := launch(t, app.Program{Services: []app.Service{idle}}, nil, "--data", t.TempDir(), "--ops", address)
	if line := second.fails(t); line != "sluice: ops: listen on "+address+": address already in use" {
		t.Error(line)
	}
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(content)
}
