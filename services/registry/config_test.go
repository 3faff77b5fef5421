package registry

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAlertSettings(t *testing.T) {
	t.Parallel()
	read := func(set map[string]string) (Alerts, error) {
		return readAlerts(func(name string) string { return set[name] })
	}
	got, err := read(nil)
	if err != nil || got.Every != 10*time.Second || got.After != time.Minute || got.DeadLetters != 0 || got.LagEvents != 10_000 || got.LagTime != time.Minute || got.Services != nil {
		t.Errorf("without any: %+v, %v", got, err)
	}
	got, err = read(map[string]string{
		"SLUICE_REGISTRY_ALERTS_EVERY": "1s", "SLUICE_REGISTRY_ALERTS_AFTER": "0s", "SLUICE_REGISTRY_ALERTS_DEAD_LETTERS": "7",
		"SLUICE_REGISTRY_ALERTS_LAG_EVENTS": "8", "SLUICE_REGISTRY_ALERTS_LAG_TIME": "9s", "SLUICE_REGISTRY_ALERTS_SERVICES": "order,user",
	})
	if err != nil || got.Every != time.Second || got.After != 0 || got.DeadLetters != 7 || got.LagEvents != 8 || got.LagTime != 9*time.Second ||
		!slices.Equal(got.Services, []string{"order", "user"}) {
		t.Errorf("with all: %+v, %v", got, err)
	}
	for name, value := range map[string]string{
		"EVERY": "1ms", "AFTER": "-1s", "DEAD_LETTERS": "-1", "LAG_EVENTS": "0", "LAG_TIME": "10ms", "SERVICES": "order,no name",
	} {
		_, err := read(map[string]string{"SLUICE_REGISTRY_ALERTS_" + name: value})
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(name)) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}
