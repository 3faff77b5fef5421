package app_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/pkg/app"
)

func TestPartsAndServicesStopInReverse(t *testing.T) {
	t.Parallel()
	j := &journal{}
	program := app.Program{Services: []app.Service{
		serviceOf("user", &part{name: "u1", journal: j}, &part{name: "u2", journal: j}),
		serviceOf("gateway", &part{name: "g1", journal: j}, &part{name: "g2", journal: j}),
	}}
	p := launch(t, program, nil, "--data", t.TempDir())
	p.ready(t)
	if j.String() != "+u1 +u2 +g1 +g2" {
		t.Errorf("started %s", j)
	}
	p.stop()
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
	if j.String() != "+u1 +u2 +g1 +g2 -g2 -g1 -u2 -u1" {
		t.Errorf("ran %s", j)
	}
}

func TestAFailedStartStopsWhatRuns(t *testing.T) {
	t.Parallel()
	j := &journal{}
	program := app.Program{Services: []app.Service{
		serviceOf("user", &part{name: "u", journal: j}),
		serviceOf("order", &part{name: "o1", journal: j}, &part{name: "o2", journal: j, start: func(context.Context) error { return errBroken }}, &part{name: "o3", journal: j}),
		serviceOf("gateway", &part{name: "g", journal: j}),
	}}
	p := launch(t, program, nil, "--data", t.TempDir())
	if line := p.fails(t); line != "sluice: order: broken on purpose" {
		t.Error(line)
	}
	if j.String() != "+u +o1 +o2 -o1 -u" {
		t.Errorf("ran %s", j)
	}
}

// What a part began on the context of its start lives through the drain: requests
// in flight must not be cancelled by the signal.
func TestAPartsContextLivesUntilItIsStopped(t *testing.T) {
	t.Parallel()
	var life context.Context
	atStop := make(chan error, 1)
	worker := &part{name: "w", journal: &journal{}}
	worker.start = func(ctx context.Context) error { life = ctx; return nil }
	worker.stop = func(context.Context) error { atStop <- life.Err(); return nil }
	p := launch(t, app.Program{Services: []app.Service{serviceOf("order", worker)}}, nil, "--data", t.TempDir())
	p.ready(t)
	p.stop()
	p.exit(t)
	if err := <-atStop; err != nil {
		t.Errorf("at the stop it was over: %v", err)
	}
	if life.Err() == nil {
		t.Error("after the stop it was not over")
	}
}

func TestOneDeadlineForAllDrains(t *testing.T) {
	t.Parallel()
	const limit = 300 * time.Millisecond
	deadlines := make(chan time.Time, 2)
	slow := func(ctx context.Context) error {
		deadline, _ := ctx.Deadline()
		deadlines <- deadline
		<-ctx.Done()
		return ctx.Err()
	}
	j := &journal{}
	program := app.Program{StopTimeout: limit, Services: []app.Service{
		serviceOf("user", &part{name: "u", journal: j, stop: slow}),
		serviceOf("order", &part{name: "o", journal: j, stop: slow}),
	}}
	p := launch(t, program, nil, "--data", t.TempDir())
	p.ready(t)
	p.stop()
	if line := p.fails(t); line != "sluice: order: stop: context deadline exceeded; user: stop: context deadline exceeded" {
		t.Error(line)
	}
	if a, b := <-deadlines, <-deadlines; !a.Equal(b) {
		t.Errorf("deadlines %s and %s", a, b)
	}
}

func TestToldToStopWhileStarting(t *testing.T) {
	t.Parallel()
	j := &journal{}
	starting := make(chan struct{})
	program := app.Program{Services: []app.Service{
		serviceOf("user", &part{name: "u", journal: j}),
		serviceOf("order", &part{name: "o", journal: j, start: func(ctx context.Context) error {
			close(starting)
			<-ctx.Done()
			return ctx.Err()
		}}),
	}}
	p := launch(t, program, nil, "--data", t.TempDir())
	<-starting
	p.stop()
	if code := p.exit(t); code != 0 || p.stderr.String() != "" {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
	if j.String() != "+u +o -u" {
		t.Errorf("ran %s", j)
	}
}

func TestAServiceThatEndsTakesTheProgramDown(t *testing.T) {
	t.Parallel()
	j := &journal{}
	die := make(chan struct{})
	mortal := app.Service{Name: "order", Run: func(ctx context.Context, env app.Env) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-die:
				cancel()
			case <-ctx.Done():
			}
		}()
		return errors.Join(env.Run(ctx), errBroken)
	}}
	program := app.Program{Services: []app.Service{mortal, serviceOf("gateway", &part{name: "g", journal: j})}}
	p := launch(t, program, nil, "--data", t.TempDir())
	p.ready(t)
	close(die)
	if line := p.fails(t); line != "sluice: order: broken on purpose" {
		t.Error(line)
	}
	if j.String() != "+g -g" {
		t.Errorf("ran %s", j)
	}
}

func TestHealthAndReadiness(t *testing.T) {
	t.Parallel()
	envs := make(chan app.Env, 2)
	service := func(name string, p app.Part) app.Service {
		return app.Service{Name: name, Run: func(ctx context.Context, env app.Env) error {
			if err := env.Ready(ctx); err == nil {
				return errors.New("ready before anything has started")
			}
			envs <- env
			return env.Run(ctx, p)
		}}
	}
	j := &journal{}
	program := app.Program{Services: []app.Service{
		service("user", &part{name: "u", journal: j}),
		service("order", &part{name: "o", journal: j, health: errBroken}),
	}}
	p := launch(t, program, nil, "--data", t.TempDir())
	p.ready(t)
	user, order := <-envs, <-envs
	if err := user.Health(); err != nil {
		t.Errorf("user: %v", err)
	}
	if err := order.Health(); !errors.Is(err, errBroken) {
		t.Errorf("order: %v", err)
	}
	if err := user.Ready(t.Context()); !errors.Is(err, errBroken) || !strings.HasPrefix(err.Error(), "order: ") {
		t.Errorf("ready: %v", err)
	}
	user.NATS.Close()
	if err := user.Health(); err == nil {
		t.Error("healthy without a connection")
	}
	p.stop()
	p.exit(t)
}
