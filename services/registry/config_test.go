package registry

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/pkg/config"
)

// with returns the settings that an environment makes.
func with(environ ...string) (settings, error) {
	c := config.Compose(config.Part{Name: "registry", Settings: Service.Settings})
	_, err := config.Load(c, config.Sources{Environ: environ})
	return config.PartOf[settings](c, "registry"), err
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{"": false, "false": false, "true": true} {
		if got, err := with("SLUICE_REGISTRY_ALLOW_LOOPBACK=" + value); err != nil || got.AllowLoopback != want {
			t.Errorf("%q: %+v, %v", value, got, err)
		}
	}
	got, err := with("SLUICE_REGISTRY_CA_FILE=ca.pem", "SLUICE_REGISTRY_PRESENCE_INTERVAL=1s", "SLUICE_REGISTRY_PRESENCE_SETTLE=2s", "SLUICE_REGISTRY_PRESENCE_FAILURES=5")
	if want := (watching{Interval: time.Second, Settle: 2 * time.Second, Failures: 5}); err != nil || got.CAFile != "ca.pem" || got.Presence != want {
		t.Errorf("%+v, %v", got, err)
	}
	for wrong, want := range map[string]string{
		"SLUICE_REGISTRY_ALLOW_LOOPBACK=yes":     `environment SLUICE_REGISTRY_ALLOW_LOOPBACK: registry.allow_loopback: "yes" is neither true nor false`,
		"SLUICE_REGISTRY_PRESENCE_INTERVAL=1ms":  "environment SLUICE_REGISTRY_PRESENCE_INTERVAL: registry.presence.interval: 1ms is not from 10ms to 1h",
		"SLUICE_REGISTRY_PRESENCE_SETTLE=2h":     "environment SLUICE_REGISTRY_PRESENCE_SETTLE: registry.presence.settle: 2h0m0s is not from 10ms to 1h",
		"SLUICE_REGISTRY_PRESENCE_FAILURES=0":    "environment SLUICE_REGISTRY_PRESENCE_FAILURES: registry.presence.failures: 0 is not from 1 to 1000",
		"SLUICE_REGISTRY_PRESENCE_FAILURES=1001": "environment SLUICE_REGISTRY_PRESENCE_FAILURES: registry.presence.failures: 1001 is not from 1 to 1000",
	} {
		if _, err := with(wrong); err == nil || err.Error() != want {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

func TestAlertSettings(t *testing.T) {
	t.Parallel()
	s, err := with()
	got := s.Alerts
	if err != nil || got.Every != 10*time.Second || got.After != time.Minute || got.DeadLetters != 0 || got.LagEvents != 10_000 || got.LagTime != time.Minute || got.Services != nil {
		t.Errorf("without any: %+v, %v", got, err)
	}
	s, err = with("SLUICE_REGISTRY_ALERTS_EVERY=1s", "SLUICE_REGISTRY_ALERTS_AFTER=0s", "SLUICE_REGISTRY_ALERTS_DEAD_LETTERS=7",
		"SLUICE_REGISTRY_ALERTS_LAG_EVENTS=8", "SLUICE_REGISTRY_ALERTS_LAG_TIME=9s", "SLUICE_REGISTRY_ALERTS_SERVICES=order,user")
	got = s.Alerts
	if err != nil || got.Every != time.Second || got.After != 0 || got.DeadLetters != 7 || got.LagEvents != 8 || got.LagTime != 9*time.Second ||
		!slices.Equal(got.Services, []string{"order", "user"}) {
		t.Errorf("with all: %+v, %v", got, err)
	}
	for name, value := range map[string]string{
		"EVERY": "1ms", "AFTER": "-1s", "DEAD_LETTERS": "-1", "LAG_EVENTS": "0", "LAG_TIME": "10ms", "SERVICES": "order,no name",
	} {
		_, err := with("SLUICE_REGISTRY_ALERTS_" + name + "=" + value)
		if err == nil || !strings.HasPrefix(err.Error(), "environment SLUICE_REGISTRY_ALERTS_"+name+": registry.alerts."+strings.ToLower(name)) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}
