package auth_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/pkg/auth"
)

// ring returns one that is started, and stopped with the test.
func (w world) ring(t testing.TB, cfg auth.RingConfig) *auth.Ring {
	t.Helper()
	cfg.Bucket = "ring"
	r := auth.NewRing(w.js, auth.Users, cfg)
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return r
}

func issue(t testing.TB, r *auth.Ring) string {
	t.Helper()
	token, lifetime, err := r.Issue(auth.Identity{User: "ada", Roles: []auth.Role{auth.Admin}})
	if err != nil || lifetime <= 0 {
		t.Fatalf("a token for %s, %v", lifetime, err)
	}
	return token
}

// keyOf returns the name of the key that signed a token.
func keyOf(t testing.TB, token string) string {
	t.Helper()
	parsed, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	name, ok := parsed.Header["kid"].(string)
	if !ok {
		t.Fatal("the token names no key")
	}
	return name
}

func TestTokensOfUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, v := w.ring(t, auth.RingConfig{}), w.verifier(t, auth.Config{})
	id, err := v.Verify(t.Context(), issue(t, r))
	if err != nil || id.User != "ada" || !id.Is(auth.Admin) || id.Service != "" {
		t.Errorf("%+v, %v", id, err)
	}
	if err := r.Health(); err != nil {
		t.Error(err)
	}
}

// TestReplicasShareOneKey, those that start at once too.
func TestReplicasShareOneKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const replicas = 8
	rings := make([]*auth.Ring, replicas)
	var all sync.WaitGroup
	for i := range rings {
		rings[i] = auth.NewRing(w.JetStream(t), auth.Users, auth.RingConfig{Bucket: "ring"})
		all.Go(func() {
			if err := rings[i].Start(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	first := keyOf(t, issue(t, rings[0]))
	for _, r := range rings {
		if name := keyOf(t, issue(t, r)); name != first {
			t.Errorf("a replica signs with %s, another with %s", name, first)
		}
		if err := r.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if names, err := w.keys.Keys(t.Context()); err != nil || len(names) != 1 {
		t.Errorf("public keys %v, %v", names, err)
	}
}

// TestKeysAreReplaced follows three keys: each is published before it signs, verifies
// what it signed until that has expired, and its private half goes when its time is over.
func TestKeysAreReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var clock clock
	cfg := auth.RingConfig{Period: time.Hour, Lifetime: 10 * time.Minute, Now: clock.now}
	r, replica := w.ring(t, cfg), w.ring(t, cfg)
	v := w.verifier(t, auth.Config{Now: clock.now})
	known := func() int {
		names, err := w.keys.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	for range 3 {
		clock.advance(56*time.Minute - time.Second) // the successor is due 5 min before its time
		before := known()
		old := keyOf(t, issue(t, r))
		// maintain runs on real time, and reads the clock
		until(t, "the successor is published", func() bool {
			restart(t, r)
			return known() > before
		})
		restart(t, replica)
		if name := keyOf(t, issue(t, r)); name != old {
			t.Errorf("%s signs before its time", name)
		}
		clock.advance(3 * time.Minute)
		last := issue(t, r)
		clock.advance(2 * time.Minute)
		token := issue(t, r)
		if name := keyOf(t, token); name == old {
			t.Errorf("%s signs after its time", name)
		} else if other := keyOf(t, issue(t, replica)); other != name {
			t.Errorf("a replica signs with %s, another with %s", other, name)
		}
		for _, text := range []string{last, token} {
			if id, err := v.Verify(t.Context(), text); err != nil || id.User != "ada" {
				t.Errorf("%+v, %v", id, err)
			}
		}
	}
	entry, err := w.js.KeyValue(t.Context(), "ring")
	if err != nil {
		t.Fatal(err)
	}
	restart(t, r)
	record, err := entry.Get(t.Context(), auth.Users)
	if err != nil || bytes.Count(record.Value(), []byte(`"seed"`)) != 1 {
		t.Errorf("private keys of the past are still there: %v", err)
	}
}

// restart makes a ring look at its keys now.
func restart(t testing.TB, r *auth.Ring) {
	t.Helper()
	if err := r.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestKeysAreReplacedByThemselves on real time.
func TestKeysAreReplacedByThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.ring(t, auth.RingConfig{Period: 400 * time.Millisecond, Lifetime: time.Minute})
	v := w.verifier(t, auth.Config{})
	seen := make(map[string]string)
	until(t, "four keys have signed", func() bool {
		token, _, err := r.Issue(auth.Identity{User: "ada"})
		if err != nil {
			return false // this machine was busy for longer than a key lives
		}
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		seen[keyOf(t, token)] = token
		return len(seen) == 4
	})
	for name, token := range seen {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("what %s signed: %v", name, err)
		}
	}
}

// TestAKeyThatWasStolenIsReplaced: what the README tells an operator to do.
func TestAKeyThatWasStolenIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, v := w.ring(t, auth.RingConfig{Period: time.Second}), w.verifier(t, auth.Config{})
	stolen := issue(t, r)
	if _, err := v.Verify(t.Context(), stolen); err != nil {
		t.Fatal(err)
	}
	private, err := w.js.KeyValue(t.Context(), "ring")
	if err != nil {
		t.Fatal(err)
	}
	if err := private.Delete(t.Context(), auth.Users); err != nil {
		t.Fatal(err)
	}
	if err := w.keys.Delete(t.Context(), keyOf(t, stolen)); err != nil {
		t.Fatal(err)
	}
	until(t, "it is refused, and another one signs", func() bool {
		_, err := v.Verify(t.Context(), stolen)
		token, _, issueErr := r.Issue(auth.Identity{User: "ada"})
		if issueErr != nil || !errors.Is(err, auth.ErrRefused) {
			return false
		}
		_, err = v.Verify(t.Context(), token)
		return err == nil && keyOf(t, token) != keyOf(t, stolen)
	})
}

// TestARingThatIsDamaged is not taken for an empty one: that would replace it.
func TestARingThatIsDamaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	private, err := w.js.KeyValue(t.Context(), "ring")
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"", "garbage", `{"keys":[{"id":"order.1","seed":""}]}`, `{"keys":[{"id":"user.1","seed":"AAAA"}]}`} {
		if _, err := private.PutString(t.Context(), auth.Users, value); err != nil {
			t.Fatal(err)
		}
		r := auth.NewRing(w.js, auth.Users, auth.RingConfig{Bucket: "ring"})
		if err := r.Start(t.Context()); err == nil {
			t.Errorf("it starts with %q", value)
		}
		if _, _, err := r.Issue(auth.Identity{User: "ada"}); err == nil || r.Health() == nil {
			t.Errorf("it signs with %q", value)
		}
	}
}
