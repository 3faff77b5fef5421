package app_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/app"
	"sluice/pkg/bus"
	"sluice/pkg/endpoint"
	"sluice/pkg/resilience"
)

// logged waits for a line of the log with all of these parts.
func (p *process) logged(t *testing.T, parts ...string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		for line := range strings.Lines(p.stderr.String()) {
			found := true
			for _, part := range parts {
				found = found && strings.Contains(line, part)
			}
			if found {
				return
			}
		}
		select {
		case <-p.stderr.written:
		case <-deadline:
			t.Fatalf("no line with %q in\n%s", parts, p.stderr)
		}
	}
}

// TestReload: what may change does, whatever else the file changes; what may not is named;
// and a file that is broken changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	file := configured(t, "[shelf]\nboards: 4\n[policies.user]\nretry { attempts: 1 }\nbreaker { failures: 2 }\n")
	reload := make(chan os.Signal)
	program, got := furnished()
	program.Reload = reload
	sets := make(chan *resilience.Set, 1)
	program.Services = append(program.Services, app.Service{Name: "order", Run: func(ctx context.Context, env app.Env) error {
		set, err := env.Policies(nil, endpoint.Hooks(env.Log))
		if err != nil {
			return err
		}
		sets <- set
		return env.Run(ctx)
	}})
	p := launch(t, program, nil, "--config", file, "--data", t.TempDir())
	p.ready(t)
	<-got
	set := <-sets
	if after := breaker(t, set, "user", "get"); after != "user: 2, 30s" {
		t.Fatalf("the breaker opens %s", after)
	}

	write(t, file, "[shelf]\nboards: 5\nwait: 9s\n[policies.user]\nretry { attempts: 1 }\nbreaker { failures: 2 }\ntimeout: 1s\n"+
		"[policies.mail]\nbreaker { failures: 3, recovery: 40s }\n[log]\nlevel: \"debug\"\n[http]\naddress: \"127.0.0.1:9\"\n")
	reload <- syscall.SIGHUP
	p.logged(t, "level=WARN", "setting needs a restart", "setting=shelf.wait", "from=1s", "to=9s", file+":3:7")
	p.logged(t, "level=INFO", "setting changed", "setting=shelf.boards", "from=4", "to=5", file+":2:9")
	p.logged(t, "setting changed", "setting=policies.user.timeout", "to=1s")
	p.logged(t, "configuration reloaded", "changed=")
	if s := <-got; s.Boards != 5 {
		t.Errorf("the service was told of %+v", s)
	}
	if strings.Contains(p.stderr.String(), "setting=http.address") {
		t.Error("a flag wins over the file, so that has not changed")
	}
	if after := breaker(t, set, "user", "get"); after != "user: 0, 30s" {
		t.Errorf("the breaker was open and now opens %s", after)
	}
	if after := breaker(t, set, "mail", "send"); after != "mail: 3, 40s" {
		t.Errorf("the breaker of another opens %s", after)
	}

	write(t, file, "[shelf]\nboards: 11\n[polices]\n")
	reload <- syscall.SIGHUP
	p.logged(t, "level=ERROR", "configuration not reloaded", file+":2:9: shelf.boards: are too many")
	p.logged(t, "level=ERROR", "configuration not reloaded", file+":3:2")
	write(t, file, "[shelf]\nboards: 6\n[policies.user]\ntimeout: 1s\nbreaker { patience: 2s }\n")
	reload <- syscall.SIGHUP
	p.logged(t, "level=ERROR", "configuration not reloaded", "breaker.patience is 2s and must be at most")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	reload <- syscall.SIGHUP
	p.logged(t, "level=ERROR", "configuration not reloaded", file+": cannot be read")
	select {
	case s := <-got:
		t.Errorf("a broken file reached the service: %+v", s)
	default:
	}

	write(t, file, "[shelf]\nboards: 7\n")
	reload <- syscall.SIGHUP
	if s := <-got; s.Boards != 7 {
		t.Errorf("the service was told of %+v", s)
	}
	p.stop()
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
}

// TestReloadTunesGroups: a message that is tried for ever is given up when the
// configuration says so.
func TestReloadTunesGroups(t *testing.T) {
	t.Parallel()
	file := configured(t, "[groups.c]\nmax_attempts: 100000\nmax_backoff: 10ms\nmin_backoff: 10ms\n")
	reload := make(chan os.Signal)
	tried := make(chan int, 1000)
	program := app.Program{
		Groups: groups(), Reload: reload,
		Setup: func(ctx context.Context, js jetstream.JetStream, _ *slog.Logger, _ app.Setup) error {
			return setUpGroup(ctx, js)
		},
		Services: []app.Service{{Name: "s", Run: func(ctx context.Context, env app.Env) error {
			return env.Run(ctx, bus.Consume(env.JetStream, env.Group(groups()[1]), bus.Config{Log: env.Log},
				bus.OnMessage(func(ctx context.Context, _ bus.Message) error {
					n, most := bus.Attempt(ctx)
					select {
					case tried <- most:
					default:
					}
					if n == 0 {
						t.Error("outside an attempt")
					}
					return errBroken
				})))
		}}},
	}
	p := launch(t, program, nil, "--config", file, "--data", t.TempDir())
	p.ready(t)
	if most := <-tried; most != 100000 {
		t.Fatalf("of %d attempts", most)
	}
	write(t, file, "[groups.c]\nmax_attempts: 2\nmax_backoff: 10ms\nmin_backoff: 10ms\norder: \"park\"\n")
	reload <- syscall.SIGHUP
	p.logged(t, "setting needs a restart", "setting=groups.c.order")
	p.logged(t, "message became a dead letter", "group=c")
	p.stop()
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
}

func setUpGroup(ctx context.Context, js jetstream.JetStream) error {
	for _, cfg := range []jetstream.StreamConfig{{Name: "S", Subjects: []string{"s.>"}}, {Name: bus.DeadLetterStream, Subjects: []string{"deadletter.>"}}} {
		if _, err := js.CreateStream(ctx, cfg); err != nil {
			return err
		}
	}
	if _, err := js.CreateConsumer(ctx, "S", jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 100}); err != nil {
		return err
	}
	_, err := js.Publish(ctx, "s.x", nil)
	return err
}

// TestReloadFindsAFile: a program that began without a file in its folder takes one that
// came later.
func TestReloadFindsAFile(t *testing.T) {
	t.Chdir(t.TempDir())
	reload := make(chan os.Signal)
	program, got := furnished()
	program.Reload = reload
	p := launch(t, program, nil, "--data", t.TempDir())
	p.ready(t)
	<-got
	reload <- syscall.SIGHUP
	p.logged(t, "configuration reloaded", "changed=0")
	if s := <-got; s.Boards == 7 {
		t.Fatalf("without a file the service was told of %+v", s)
	}
	write(t, "sluice.tsk", "[shelf]\nboards: 7\n")
	reload <- syscall.SIGHUP
	p.logged(t, "setting changed", "setting=shelf.boards", "to=7", "sluice.tsk:2:9")
	if s := <-got; s.Boards != 7 {
		t.Errorf("the service was told of %+v", s)
	}
	p.stop()
}
