package telemetry_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"sluice/pkg/telemetry"
)

// TestLevels: the package decides, else the service, else the level of all others, and
// a change counts at once.
func TestLevels(t *testing.T) {
	t.Parallel()
	var (
		levels telemetry.Levels
		out    bytes.Buffer
	)
	log := telemetry.NewLogger(&out, "json", &levels)
	order, user := log.With("service", "order"), log.With("service", "user").WithGroup("g").With("service", "order")
	for _, c := range []struct {
		set, reads string
		want       string // of what is written below
	}{
		{"", "info", "order-info order-warn user-info user-warn"},
		{"warn", "warn", "order-warn user-warn"},
		{"order=debug", "info,order=debug", "order-debug order-info order-warn user-info user-warn"},
		{" error , order=info ", "error,order=info", "order-info order-warn"},
		{"info,order=error,user=debug", "info,order=error,user=debug", "user-debug user-info user-warn"},
		{"info,order=debug,telemetry_test=warn", "info,order=debug,telemetry_test=warn", "order-warn user-warn"},
		{"error,telemetry_test=debug", "error,telemetry_test=debug", "order-debug order-info order-warn user-debug user-info user-warn"},
		{"warn,telemetry=debug", "warn,telemetry=debug", "order-warn user-warn"},
	} {
		if err := levels.Set(c.set); err != nil {
			t.Fatal(err)
		}
		if got := levels.String(); got != c.reads {
			t.Errorf("%q is read as %q", c.set, got)
		}
		out.Reset()
		order.Debug("order-debug")
		order.Info("order-info")
		order.Warn("order-warn")
		user.Debug("user-debug")
		user.Info("user-info")
		user.Warn("user-warn")
		var got []string
		for line := range strings.Lines(out.String()) {
			_, rest, _ := strings.Cut(line, `"msg":"`)
			msg, _, _ := strings.Cut(rest, `"`)
			got = append(got, msg)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q writes %v, want %s", c.set, got, c.want)
		}
	}
}

func TestLevelsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	var levels telemetry.Levels
	if err := levels.Set("warn,order=debug"); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"loud", "order=", "order=loud", "=debug", "a b=debug", "info,Order=debug"} {
		if err := levels.Set(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	if levels.String() != "warn,order=debug" || levels.Level() != slog.LevelDebug {
		t.Errorf("after errors they are %s", &levels)
	}
}
