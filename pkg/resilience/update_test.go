package resilience_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/pkg/resilience"
)

func quick(failures int) resilience.Config {
	return resilience.Config{
		Retry: resilience.Retry{Attempts: 1}, Breaker: resilience.Breaker{Failures: failures, Recovery: time.Hour},
	}
}

func newSet(t *testing.T, configs map[string]resilience.Config) *resilience.Set {
	t.Helper()
	set, err := resilience.NewSet(configs, resilience.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// call makes a call that fails unless err is nil.
func call(t *testing.T, set *resilience.Set, service, endpoint string, err error) error {
	t.Helper()
	_, got := resilience.Do(t.Context(), set.For(service, endpoint), func(context.Context) (int, error) { return 0, err })
	return got
}

// TestUpdateKeepsWhatPoliciesKnow: a breaker that is open stays open while other settings
// change, and one whose own settings change begins anew.
func TestUpdateKeepsWhatPoliciesKnow(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	set := newSet(t, map[string]resilience.Config{"user": quick(2)})
	for range 2 {
		if err := call(t, set, "user", "get", down); !errors.Is(err, down) {
			t.Fatal(err)
		}
	}
	slower := quick(2)
	slower.Timeout, slower.Retry.MaxBackoff, slower.Bulkhead.Limit = time.Minute, 2*time.Second, 7
	if err := set.Update(map[string]resilience.Config{"user": slower}); err != nil {
		t.Fatal(err)
	}
	if err := call(t, set, "user", "get", nil); !errors.Is(err, resilience.ErrOpen) {
		t.Errorf("after another timeout the breaker let a call through: %v", err)
	}
	if err := set.Update(map[string]resilience.Config{"user": quick(3)}); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if err := call(t, set, "user", "list", down); !errors.Is(err, down) {
			t.Errorf("failure %d with a breaker of three: %v", n+1, err)
		}
	}
	if err := call(t, set, "user", "get", nil); !errors.Is(err, resilience.ErrOpen) {
		t.Errorf("the breaker has other settings: %v", err)
	}
	got := set.Snapshot()
	if len(got) != 1 || got[0].Counts.Failed != 5 || got[0].Counts.Open != 2 || got[0].Changes[resilience.Open] != 2 {
		t.Errorf("what was counted before is gone: %+v", got)
	}
	if set.For("user", "get").Idempotent() == set.For("user", "get") {
		t.Error("the idempotent twin is gone")
	}
}

// TestUpdateMovesTargetsBetweenPolicies: an endpoint that gets settings of its own leaves
// the policy of its service, and comes back to it.
func TestUpdateMovesTargetsBetweenPolicies(t *testing.T) {
	t.Parallel()
	set := newSet(t, map[string]resilience.Config{"user": quick(2)})
	names := func() string { return set.For("user", "get").Name() + " " + set.For("user", "list").Name() }
	if got := names(); got != "user user" {
		t.Fatal(got)
	}
	shared := set.For("user", "list")
	if err := set.Update(map[string]resilience.Config{"user": quick(2), "user.get": quick(1)}); err != nil {
		t.Fatal(err)
	}
	if got := names(); got != "user.get user" {
		t.Error(got)
	}
	if set.For("user", "list") != shared {
		t.Error("a policy whose settings are the same was made anew")
	}
	if err := set.Update(nil); err != nil {
		t.Fatal(err)
	}
	if got := names(); got != "user user" || len(set.Snapshot()) != 1 {
		t.Error(got)
	}
}

// TestUpdateIsAllOrNothing names everything that is wrong, and leaves the set as it was.
func TestUpdateIsAllOrNothing(t *testing.T) {
	t.Parallel()
	set := newSet(t, map[string]resilience.Config{"user": quick(2)})
	before := set.For("user", "get")
	err := set.Update(map[string]resilience.Config{"user": quick(3), "mail": quick(-2), "no.such.name": {}})
	if err == nil || !strings.Contains(err.Error(), "breaker.failures is -2") || !strings.Contains(err.Error(), "no.such.name") {
		t.Error(err)
	}
	if set.For("user", "get") != before {
		t.Error("an update that was refused changed a policy")
	}
}

// TestUpdateWhileCallsAreMade: every call is made by one configuration or the other.
func TestUpdateWhileCallsAreMade(t *testing.T) {
	t.Parallel()
	set := newSet(t, map[string]resilience.Config{"user": quick(5)})
	var callers sync.WaitGroup
	done := make(chan struct{})
	for range 8 {
		callers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := call(t, set, "user", "get", nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 200 {
		cfg := quick(5 + n%3)
		cfg.Bulkhead.Limit, cfg.RateLimit.PerSecond = 100+n%2, 1e6
		cfg.RateLimit.Burst = 1e6
		if err := set.Update(map[string]resilience.Config{"user": cfg}); err != nil {
			t.Error(err)
		}
	}
	close(done)
	callers.Wait()
	for _, p := range set.Snapshot() {
		if p.State != resilience.Closed {
			t.Errorf("%+v", p)
		}
	}
}
