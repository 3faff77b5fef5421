package app_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/pkg/app"
	"sluice/pkg/bus"
)

// groups are those of a program, of which the configuration may change how they retry.
func groups() []bus.Group {
	return []bus.Group{{Stream: "S", Name: "a-b", Redrive: true, MaxAttempts: 3}, {Stream: "S", Name: "c"}}
}

func TestGroupsAreConfigured(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sluice.tsk")
	content := "[groups.a-b]\nmin_backoff: 250ms\norder: \"park\"\nmax_attempts: 5\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan bus.Group, 2)
	p := app.Program{
		Groups: groups(), Environ: []string{"SLUICE_GROUPS_A_B_MAX_ATTEMPTS=7", "SLUICE_OTHER=x"},
		Services: []app.Service{{Name: "s", Run: func(ctx context.Context, env app.Env) error {
			for _, g := range groups() {
				got <- env.Group(g)
			}
			return env.Run(ctx)
		}}},
	}
	run := launch(t, p, map[string]string{"SLUICE_CONFIG": file}, "--data", t.TempDir())
	run.ready(t)
	want := bus.Group{Stream: "S", Name: "a-b", Redrive: true, MaxAttempts: 7, MinBackoff: 250 * time.Millisecond, Order: bus.Park}.WithDefaults()
	if g := <-got; g != want {
		t.Errorf("the group is %+v, want %+v", g, want)
	}
	if g := <-got; g != groups()[1].WithDefaults() {
		t.Errorf("a group that nobody configured is %+v", g)
	}
	run.stop()
	if code := run.exit(t); code != 0 {
		t.Errorf("it ended with %d: %s", code, run.stderr)
	}
}

func TestConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ content, want string }{
		"unknown group":   {"[groups.order]\nmax_attempts: 3\n", `there is no group "order"; there are a-b, c`},
		"unknown setting": {"[groups.c]\nattempts: 3\n", `attempts`},
		"not a setting":   {"[groups.c]\nstream: \"T\"\n", `stream`},
		"wrong type":      {"[groups.c]\nmin_backoff: \"soon\"\n", `sluice.tsk:2:14`},
		"nonsense":        {"[groups.c]\nmin_backoff: 2s\nmax_backoff: 1s\nrate: -1\n", `min_backoff 2s is longer than max_backoff 1s`},
		"unknown order":   {"[groups.c]\norder: \"random\"\n", `none of hold, go-on, park and any`},
		"broken":          {"[groups.c\n", `sluice.tsk:1`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "sluice.tsk")
			if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			run := launch(t, app.Program{Groups: groups()}, nil, "--data", t.TempDir(), "--config", file)
			if code := run.exit(t); code != 1 {
				t.Errorf("exit code %d", code)
			}
			said := run.stderr.String()
			if !strings.Contains(said, c.want) || strings.Count(said, "\n") != 1 {
				t.Errorf("it said %q, not one line with %q", said, c.want)
			}
		})
	}
	run := launch(t, app.Program{}, nil, "--data", t.TempDir(), "--config", filepath.Join(t.TempDir(), "none.tsk"))
	if code := run.exit(t); code != 1 || !strings.Contains(run.stderr.String(), "none.tsk") {
		t.Errorf("without the file: exit code %d, %q", code, run.stderr)
	}
}
