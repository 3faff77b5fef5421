package app_test

import (
	"context"
	"strings"
	"testing"

	"sluice/pkg/app"
)

// TestLogLevels: SLUICE_LOG_LEVEL says from which level a service's lines are written,
// and nothing starts with one that makes no sense.
func TestLogLevels(t *testing.T) {
	t.Parallel()
	wordy := func(name string) app.Service {
		return app.Service{Name: name, Run: func(ctx context.Context, env app.Env) error {
			env.Log.DebugContext(ctx, "debug of "+name) //nolint:sloglint // the test looks for it
			env.Log.InfoContext(ctx, "info of "+name)   //nolint:sloglint // the test looks for it
			return env.Run(ctx)
		}}
	}
	program := app.Program{Services: []app.Service{wordy("order"), wordy("user")}}
	p := launch(t, program, map[string]string{"SLUICE_LOG_LEVEL": "warn,order=debug"}, "--data", t.TempDir())
	p.ready(t)
	p.stop()
	if code := p.exit(t); code != 0 {
		t.Fatalf("exit code %d: %s", code, p.stderr)
	}
	log := p.stderr.String()
	for line, written := range map[string]bool{"debug of order": true, "info of order": true, "debug of user": false, "info of user": false} {
		if strings.Contains(log, line) != written {
			t.Errorf("%q, wanted %t, in %s", line, written, log)
		}
	}
	wrong := launch(t, program, map[string]string{"SLUICE_LOG_LEVEL": "loud"}, "--data", t.TempDir())
	if line := wrong.fails(t); !strings.Contains(line, "SLUICE_LOG_LEVEL") || !strings.Contains(line, "loud") {
		t.Error(line)
	}
}
