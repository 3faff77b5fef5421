package user

import (
	"strings"
	"testing"
	"time"

	"sluice/pkg/config"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	with := func(name, value string) (settings, error) {
		c := config.Compose(config.Part{Name: "user", Settings: Service.Settings})
		_, err := config.Load(c, config.Sources{Environ: []string{name + "=" + value}})
		return config.PartOf[settings](c, "user"), err
	}
	for value, want := range map[string]time.Duration{"": 720 * time.Hour, "168h": 168 * time.Hour, "1m": time.Minute} {
		if got, err := with("SLUICE_USER_KEY_PERIOD", value); err != nil || got.KeyPeriod != want {
			t.Errorf("%q: %s, %v", value, got.KeyPeriod, err)
		}
	}
	for _, value := range []string{"1", "0", "-1h", "59s", "9000h", "soon"} {
		if _, err := with("SLUICE_USER_KEY_PERIOD", value); err == nil || !strings.HasPrefix(err.Error(), "environment SLUICE_USER_KEY_PERIOD: user.key_period: ") {
			t.Errorf("%q: %v", value, err)
		}
	}
	for _, name := range []string{"SLUICE_ADMIN_PASSWORD", "SLUICE_USER_ADMIN_PASSWORD"} {
		for _, value := range []string{"", "12345678", "pässwörd"} {
			if got, err := with(name, value); err != nil || got.AdminPassword != value {
				t.Errorf("%q: %q, %v", value, got.AdminPassword, err)
			}
		}
		for _, value := range []string{"1234567", strings.Repeat("x", 257)} {
			if _, err := with(name, value); err == nil || strings.Contains(err.Error(), value) || !strings.Contains(err.Error(), name) {
				t.Errorf("%q: %v", value, err)
			}
		}
	}
}
