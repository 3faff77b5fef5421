package user

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/pkg/endpoint"
	"sluice/services/user/userapi"
)

func TestAttemptsSlowDown(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	var f failures
	for i, want := range []time.Duration{
		0, 0, 0, 0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second,
		64 * time.Second, 128 * time.Second, 256 * time.Second, 512 * time.Second, 15 * time.Minute, 15 * time.Minute,
	} {
		next, wait := f.next(now)
		if wait != 0 || next.Count != i+1 {
			t.Fatalf("attempt %d: %+v, has to wait %s", i+1, next, wait)
		}
		if want > 0 {
			if early, wait := next.next(now.Add(want - time.Millisecond)); wait != time.Millisecond || early != next {
				t.Errorf("too early after %d: %+v, has to wait %s", i+1, early, wait)
			}
		}
		f, now = next, now.Add(want)
	}
	f.Count = 1 << 40
	if f, _ = f.next(now); !f.Until.Equal(now.Add(longestWait)) {
		t.Errorf("after very many it is %s", f.Until.Sub(now))
	}
	// A clock that was wrong locks nobody out for longer.
	if _, wait := (failures{Count: 9, Until: now.Add(1000 * time.Hour)}).next(now); wait != longestWait {
		t.Errorf("it is %s", wait)
	}
}

// let makes the time of the next attempt under a name what a test needs, whatever time
// this machine takes for anything.
func let(t *testing.T, h handlers, name string, next time.Time) {
	t.Helper()
	key := h.attempts.hash(name)
	f, revision, err := h.attempts.read(t.Context(), key)
	if err != nil || f.Count != freeAttempts || f.Until.IsZero() {
		t.Fatalf("%s has %+v, %v", name, f, err)
	}
	f.Until = next
	if err := h.attempts.write(t.Context(), key, f, revision); err != nil {
		t.Fatal(err)
	}
}

// TestGuessesAreSlowedDownInAllReplicas, whether there is such a user or not, and
// without looking at the password.
func TestGuessesAreSlowedDownInAllReplicas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	replicas := []handlers{w.start(t), w.start(t)}
	newcomer(t, replicas[0], "ada")
	for _, name := range []string{"ada", "nobody-of-this-name", "eve@example.com"} {
		for i := range freeAttempts {
			spelling := name
			if i%2 > 0 {
				spelling = strings.ToUpper(name)
			}
			_, err := replicas[i%2].login(t.Context(), userapi.LoginRequest{Login: spelling, Password: "wrong password"})
			mustCode(t, "a guess", err, endpoint.CodeUnauthenticated)
		}
		let(t, replicas[0], name, time.Now().Add(time.Minute))
		for _, h := range replicas {
			compared := h.counted()
			_, err := h.login(t.Context(), userapi.LoginRequest{Login: name, Password: password})
			mustCode(t, "one guess more", err, endpoint.CodeRateLimited)
			refused, ok := errors.AsType[*endpoint.Error](err)
			if !ok || refused.RetryAfter <= 0 || refused.RetryAfter > time.Minute {
				t.Errorf("come back after %v", refused)
			}
			_, err = h.authenticate(t.Context(), userapi.AuthenticateRequest{Login: name, Password: password})
			mustCode(t, "another way", err, endpoint.CodeRateLimited)
			if compared.Load() > 0 {
				t.Error("the password was compared nevertheless")
			}
		}
	}
	let(t, replicas[0], "ada", time.Now().Add(-time.Second))
	replicas[1].mustLogin(t, "ada", password)
	for range freeAttempts { // all is forgotten
		_, err := replicas[0].login(t.Context(), userapi.LoginRequest{Login: "ada", Password: "wrong password"})
		mustCode(t, "a guess", err, endpoint.CodeUnauthenticated)
	}
	keys, err := replicas[0].attempts.bucket.Keys(t.Context())
	if err != nil || len(keys) != 3 || strings.Contains(strings.Join(keys, " "), "ada") {
		t.Errorf("stored under %v, %v", keys, err)
	}
}

// TestManyGuessesAtOnceAreNoWayAround counts what is compared.
func TestManyGuessesAtOnceAreNoWayAround(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	replicas := []handlers{w.start(t), w.start(t)}
	newcomer(t, replicas[0], "ada")
	compared := []*atomic.Int64{replicas[0].counted(), replicas[1].counted()}
	var all sync.WaitGroup
	began := time.Now()
	for i := range 100 {
		all.Go(func() {
			_, err := replicas[i%2].login(t.Context(), userapi.LoginRequest{Login: "ada", Password: "wrong password"})
			if code := endpoint.CodeOf(err); code != endpoint.CodeUnauthenticated && code != endpoint.CodeRateLimited {
				t.Errorf("a guess: %v", err)
			}
		})
	}
	all.Wait()
	// One more for each time that the wait was over.
	most := int64(freeAttempts)
	for wait, spent := firstWait, time.Since(began); spent > wait; wait *= 2 {
		spent -= wait
		most++
	}
	if n := compared[0].Load() + compared[1].Load(); n < 1 || n > most {
		t.Errorf("%d of 100 guesses at once were compared, want at most %d", n, most)
	}
}

// TestGuessesOfTheCurrentPasswordAreSlowedDown, for somebody who has found an open
// session.
func TestGuessesOfTheCurrentPasswordAreSlowedDown(t *testing.T) {
	t.Parallel()
	h := newWorld(t).start(t)
	ada := newcomer(t, h, "ada")
	change := func() error {
		_, err := h.setPassword(as(t.Context(), ada.ID), userapi.SetPasswordRequest{ID: ada.ID, Current: "wrong password", New: "another password"})
		return err
	}
	for range freeAttempts {
		mustCode(t, "a guess", change(), endpoint.CodeInvalid)
	}
	let(t, h, ada.ID, time.Now().Add(time.Minute))
	mustCode(t, "one guess more", change(), endpoint.CodeRateLimited)
}
