package resilience_test

import (
	"strings"
	"testing"
	"time"

	"sluice/pkg/resilience"
)

func TestSetLooksForTheMoreSpecificFirst(t *testing.T) {
	t.Parallel()
	set, err := resilience.NewSet(map[string]resilience.Config{
		"user": {}, "user.get": {}, resilience.Default: {Breaker: resilience.Breaker{Failures: 1}},
	}, resilience.Hooks{})
	wantError(t, err, nil)
	for _, c := range []struct{ service, endpoint, want string }{
		{"user", "get", "user.get"},
		{"user", "list", "user"},
		{"user", "health", "user"},
		{"order", "get", "order"},
		{"order", "list", "order"},
		{"mail", "send", "mail"},
	} {
		p := set.For(c.service, c.endpoint)
		if p.Name() != c.want || p != set.For(c.service, c.endpoint) {
			t.Errorf("%s.%s has policy %s, want %s and always the same", c.service, c.endpoint, p.Name(), c.want)
		}
	}
	wantError(t, do(t, set.For("order", "get"), errDown), errDown) // the default's one failure
	wantError(t, do(t, set.For("order", "list"), nil), resilience.ErrOpen)
	wantError(t, do(t, set.For("mail", "send"), nil), nil)
	wantError(t, do(t, set.For("user", "get"), errDown), errDown)
	wantError(t, do(t, set.For("user", "get"), nil), nil)

	var shown []string
	for _, s := range set.Snapshot() {
		shown = append(shown, s.Policy+" "+s.State.String())
	}
	if got := strings.Join(shown, ", "); got != "mail closed, order open, user closed, user.get closed" {
		t.Errorf("the snapshot shows %s", got)
	}
}

func TestSetWithoutSettings(t *testing.T) {
	t.Parallel()
	set, err := resilience.NewSet(nil, resilience.Hooks{})
	wantError(t, err, nil)
	for range 5 {
		wantError(t, do(t, set.For("user", "get"), errDown), errDown)
	}
	wantError(t, do(t, set.For("user", "get"), nil), resilience.ErrOpen)
}

func TestEverythingWrongIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	bad := resilience.Config{
		Timeout:   -1,
		Retry:     resilience.Retry{Attempts: 11, AttemptTimeout: -1, Backoff: 2 * time.Second, MaxBackoff: time.Second, Budget: 1.5, Reserve: -1},
		Breaker:   resilience.Breaker{Failures: -2, Window: time.Millisecond, Rate: -0.1, MinCalls: -1, Recovery: 25 * time.Hour, Probes: -1, Patience: time.Hour},
		Bulkhead:  resilience.Bulkhead{Limit: -1, Wait: -1},
		RateLimit: resilience.RateLimit{PerSecond: -1, Burst: -1},
	}
	_, err := resilience.NewSet(map[string]resilience.Config{"user": bad, "Nobody": {}, "order": {Timeout: -1}}, resilience.Hooks{})
	if err == nil {
		t.Fatal("the settings were taken")
	}
	for _, want := range []string{
		`policy "user"`, `policy "Nobody"`, `policy "order"`, "timeout", "retry.attempts", "retry.attempt_timeout", "retry.backoff",
		"retry.budget", "retry.reserve", "breaker.failures", "breaker.window", "breaker.rate", "breaker.min_calls", "breaker.recovery",
		"breaker.probes", "breaker.patience", "bulkhead.limit", "bulkhead.wait", "rate_limit.per_second", "rate_limit.burst",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing is said of %s in\n%v", want, err)
		}
	}
	if _, err := resilience.New("user", bad, resilience.Hooks{}); err == nil {
		t.Error("a policy was made from it")
	}
}
