package app_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/pkg/app"
	"sluice/pkg/config"
)

// shelf is what a service says of itself.
type shelf struct {
	Boards int           `doc:"Of a shelf." reload:"true"`
	Wait   time.Duration `doc:"For wood."`
	Glue   string        `doc:"Its recipe." secret:"true"`
}

func (s shelf) Validate() error {
	if s.Boards > 9 {
		return config.At(errors.New("are too many"), "boards")
	}
	return nil
}

// furnished is a program with a service that has settings, and one that has none; what the
// first got is told.
func furnished() (app.Program, chan shelf) {
	got := make(chan shelf, 100)
	return app.Program{
		Groups: groups(), Endpoints: called(), Routes: map[string][]string{"c": {"order.created.*", "order.shipped.*"}},
		Services: []app.Service{
			{Name: "shelf", Settings: shelf{Boards: 3, Wait: time.Second}, Run: func(ctx context.Context, env app.Env) error {
				got <- app.SettingsOf[shelf](env)
				app.OnReload(env, func(s shelf) { got <- s })
				return env.Run(ctx)
			}},
			{Name: "idle", Run: func(ctx context.Context, env app.Env) error { return env.Run(ctx) }},
		},
	}, got
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func configured(t *testing.T, content string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "sluice.tsk")
	write(t, file, content)
	return file
}

// TestPrecedence: flags win over the environment, that over the file, and the file over
// the defaults; all of it is shown with where it comes from.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := configured(t, "data: \""+dir+"\"\n[log]\nformat: \"json\"\n[http]\naddress: \"file:1\"\n[shelf]\nboards: 4\nwait: 2s\nglue: \"horse\"\n"+
		"[idle.policies.user]\ntimeout: 3s\n")
	env := map[string]string{
		"SLUICE_CONFIG": file, "SLUICE_SHELF_WAIT": "5s", "SLUICE_HTTP_ADDRESS": "environment:1", "SLUICE_LOG_LEVEL": "warn,shelf=debug", "NATS_URL": "nats://me:secret@host",
		"OTEL_SERVICE_NAME": "shop", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret",
	}
	program, _ := furnished()
	p := launch(t, program, env, "config", "--http", "127.0.0.1:7", "--data", "elsewhere")
	if code := p.exit(t); code != 0 {
		t.Fatalf("exit code %d: %s", code, p.stderr)
	}
	printed := p.stdout.String()
	for _, want := range []string{
		`data: "elsewhere"  # flag --data`,
		`address: "127.0.0.1:7"  # flag --http`,
		`# url: "nats://me:xxxxx@host"  # environment NATS_URL`,
		`level: "warn,shelf=debug"  # environment SLUICE_LOG_LEVEL`,
		`format: "json"  # ` + file + `:3:9`,
		`boards: 4  # ` + file + `:7:9`,
		`wait: 5s  # environment SLUICE_SHELF_WAIT`,
		`# glue: "********"  # ` + file + `:9:7`,
		`listen: "127.0.0.1:0"  # flag --nats`,
		`sync: "2m"  # default`,
		`# OTEL_SERVICE_NAME: "shop"  # environment, for OpenTelemetry`,
		`# OTEL_EXPORTER_OTLP_HEADERS: "********"  # environment, for OpenTelemetry`,
		"[idle.policies.user]\ntimeout: 3s",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("there is no %s in\n%s", want, printed)
		}
	}
	if strings.Contains(printed, "secret") || strings.Contains(printed, "horse") {
		t.Errorf("a secret is shown:\n%s", printed)
	}
}

// TestSettingsOfServices reach them, also where they come from a folder of secrets.
func TestSettingsOfServices(t *testing.T) {
	t.Parallel()
	secrets := t.TempDir()
	write(t, filepath.Join(secrets, "glue"), "bone\n")
	file := configured(t, "[shelf]\nglue: @file.read(\"glue\")\n")
	program, got := furnished()
	p := launch(t, program, map[string]string{"SLUICE_SECRETS": secrets, "SLUICE_SHELF_BOARDS": "5"}, "--config", file, "--data", t.TempDir(), "shelf")
	p.ready(t)
	if s := <-got; s != (shelf{Boards: 5, Wait: time.Second, Glue: "bone"}) {
		t.Errorf("%+v", s)
	}
	p.stop()
	p.exit(t)
}

// TestConfigCheck tells everything that is wrong, a line each, and nothing of secrets.
func TestConfigCheck(t *testing.T) {
	t.Parallel()
	check := func(content string, env map[string]string) (*process, string, int) {
		file := configured(t, content)
		program, _ := furnished()
		p := launch(t, program, env, "config", "check", file)
		code := p.exit(t)
		return p, strings.ReplaceAll(p.stderr.String(), file, "FILE"), code
	}
	p, said, code := check("[shelf]\nboards: 9\n[routing.c]\nsubjects: [\"order.created.*\", \"order.shipped.o-1\"]\nconditions: [{ data: \"total\", greater: 5 }]\n", nil)
	if code != 0 || said != "" || !strings.HasSuffix(p.stdout.String(), "sluice.tsk is in order\n") {
		t.Errorf("%d %s%s", code, p.stdout, said)
	}
	_, said, code = check(`data: ""
[nats]
url: 5
context: ""
sync: "sometimes"
[ops]
address: "nowhere"
[log]
level: "loud"
format: "xml"
[shelf]
boards: 10
glue: 12
bords: 1
[groups.d]
rate: 1
[groups.c]
rate: -1
[routing.a-b]
subjects: ["order.created.*"]
[routing.d]
subjects: ["order.created.*"]
[routing.c]
subjects: ["order.*.*", "order.created.*", "order.created.1", "order.created.>"]
conditions: [{ equals: 1 }]
[policies.nobody]
timeout: 1s
[discovery]
ttl: 2h
[shelff]
`, map[string]string{"SLUICE_SHELF_WOOD": "oak", "SLUICE_NATS_PORT": "1", "SLUICE_WHATEVER": "x"})
	const want = `FILE:1:7: data: is empty
FILE:3:6: nats.url: "5" is a number; wanted: string
FILE:5:7: nats.sync: "sometimes" is not valid: neither always nor a duration such as 2m
FILE:7:10: ops.address: "nowhere" is not an address such as 127.0.0.1:8080
FILE:9:8: log.level: log level "loud" is none of debug, info, warn and error
FILE:10:9: log.format: "xml" is neither text nor json
FILE:13:7: shelf.glue: is a number; wanted: string
FILE:14:1: shelf: "bords" is not a known setting; did you mean boards?
FILE:15:9: groups.d: there is no group "d"; there are a-b, c
FILE:17:1: groups.c: rate is negative
FILE:19:10: routing.a-b: the group "a-b" takes everything, and has no route; those with routes are c
FILE:21:10: routing.d: there is no group "d"; those with routes are c
FILE:24:11: routing.c.subjects: "order.*.*" is not a part of what the group may be routed: order.created.*, order.shipped.*
FILE:24:11: routing.c.subjects: "order.*.*" and "order.created.*" have subjects in common
FILE:24:11: routing.c.subjects: "order.*.*" and "order.created.1" have subjects in common
FILE:24:11: routing.c.subjects: "order.created.*" and "order.created.1" have subjects in common
FILE:24:11: routing.c.subjects: "order.created.>" is not a part of what the group may be routed: order.created.*, order.shipped.*
FILE:25:14: routing.c.conditions[0]: a condition is about either an attribute or data
FILE:26:11: policies.nobody: there is no service "nobody" to call; there are mail, stock-keeping, user and default
FILE:29:6: discovery.ttl: 2h0m0s is not from 1ms to 1h
FILE:30:2: "shelff" is not a known setting; did you mean shelf?
environment SLUICE_SHELF_WOOD: is not a known setting
`
	if code != 1 || said != want {
		t.Errorf("exit code %d, want\n%s\ngot\n%s", code, want, said)
	}
}

func TestConfigReference(t *testing.T) {
	t.Parallel()
	program, _ := furnished()
	p := launch(t, program, map[string]string{"SLUICE_SHELF_BOARDS": "5", "SLUICE_CONFIG": "/does/not/exist"}, "config", "reference")
	if code := p.exit(t); code != 0 {
		t.Fatal(p.stderr)
	}
	for _, want := range []string{"# Of a shelf. (whole number; may change while running)\nboards: 3\n", "[groups.a-b]", "[routing.c]", "# [policies.NAME.retry]"} {
		if !strings.Contains(p.stdout.String(), want) {
			t.Errorf("there is no %s in\n%s", want, p.stdout)
		}
	}
	for _, wrong := range [][]string{{"config", "show"}, {"config", "check"}, {"config", "check", "a", "b"}, {"config", "reference", "x"}} {
		if line := launch(t, program, nil, wrong...).fails(t); line != "sluice: config takes nothing, reference, or check and a file" {
			t.Errorf("%v: %s", wrong, line)
		}
	}
}
