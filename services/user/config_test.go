package user

import (
	"strings"
	"testing"
	"time"

	"sluice/pkg/app"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	with := func(name, value string) app.Env {
		return app.Env{Getenv: func(asked string) string {
			if asked == name {
				return value
			}
			return ""
		}}
	}
	for value, want := range map[string]time.Duration{"": 0, "168h": 168 * time.Hour, "1m": time.Minute} {
		if got, err := keyPeriod(with("SLUICE_USER_KEY_PERIOD", value)); err != nil || got != want {
			t.Errorf("%q: %s, %v", value, got, err)
		}
	}
	for _, value := range []string{"1", "0", "-1h", "59s", "9000h", "soon"} {
		if _, err := keyPeriod(with("SLUICE_USER_KEY_PERIOD", value)); err == nil || !strings.Contains(err.Error(), "SLUICE_USER_KEY_PERIOD") {
			t.Errorf("%q: %v", value, err)
		}
	}
	for _, value := range []string{"", "12345678", "pässwörd"} {
		if got, err := adminPassword(with("SLUICE_ADMIN_PASSWORD", value)); err != nil || got != value {
			t.Errorf("%q: %q, %v", value, got, err)
		}
	}
	for _, value := range []string{"1234567", strings.Repeat("x", 257)} {
		if _, err := adminPassword(with("SLUICE_ADMIN_PASSWORD", value)); err == nil || strings.Contains(err.Error(), value) {
			t.Errorf("%q: %v", value, err)
		}
	}
}
