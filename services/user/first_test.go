package user

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/services/user/userapi"
)

// told is a login that was printed.
type told struct{ username, password string }

// firstStart is what a replica does about the user admin when it starts, and what it
// prints.
func firstStart(ctx context.Context, h handlers, configured string) (printed []told, err error) {
	err = first{
		handlers: h, password: configured, name: time.Now().String(),
		tell: func(username, password string) { printed = append(printed, told{username, password}) },
	}.ensure(ctx)
	return printed, err
}

// mustBeAdmin logs in and looks at the token.
func (w world) mustBeAdmin(t *testing.T, h handlers, login, password string) {
	t.Helper()
	id, err := w.verifier.Verify(t.Context(), h.mustLogin(t, login, password).AccessToken)
	if err != nil || !id.Is(auth.Admin) {
		t.Errorf("%s is %+v, %v", login, id, err)
	}
}

func TestTheFirstAdmin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.start(t)
	printed, err := firstStart(t.Context(), h, "")
	if err != nil || len(printed) != 1 || printed[0].username != "admin" || len(printed[0].password) < 20 {
		t.Fatalf("it prints %d, %v", len(printed), err)
	}
	w.mustBeAdmin(t, h, "admin", printed[0].password)
	age(t, h)
	for _, configured := range []string{"", "something configured"} {
		if again, err := firstStart(t.Context(), w.start(t), configured); err != nil || len(again) > 0 {
			t.Errorf("a later start prints %d, %v", len(again), err)
		}
	}
	w.mustBeAdmin(t, h, "admin@sluice.invalid", printed[0].password)
}

func TestTheFirstAdminFromTheConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.start(t)
	for i := range 2 {
		configured := []string{"from the configuration", "another later"}[i]
		if printed, err := firstStart(t.Context(), h, configured); err != nil || len(printed) > 0 {
			t.Errorf("it prints %d, %v", len(printed), err)
		}
	}
	w.mustBeAdmin(t, h, "admin", "from the configuration")
}

// TestAPasswordThatNobodyUsedIsMadeAnew: it may never have been seen.
func TestAPasswordThatNobodyUsedIsMadeAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.start(t)
	before, err := firstStart(t.Context(), h, "")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := firstStart(t.Context(), w.start(t), ""); err != nil || len(again) > 0 {
		t.Errorf("a replica that starts with it prints %d, %v", len(again), err)
	}
	age(t, h)
	printed, err := firstStart(t.Context(), w.start(t), "")
	if err != nil || len(printed) != 1 || printed[0] == before[0] {
		t.Fatalf("it prints %v, %v", printed, err)
	}
	_, err = h.login(t.Context(), userapi.LoginRequest{Login: "admin", Password: before[0].password})
	mustCode(t, "the password of before", err, endpoint.CodeUnauthenticated)
	if printed, err := firstStart(t.Context(), w.start(t), "from the configuration"); err != nil || len(printed) > 0 {
		t.Fatalf("it prints %d, %v", len(printed), err)
	}
	w.mustBeAdmin(t, h, "admin", "from the configuration")
}

// TestManyReplicasStartAtOnce: one prints, and what it prints is good.
func TestManyReplicasStartAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var (
		all sync.WaitGroup
		mu  sync.Mutex
		out []told
	)
	h := w.start(t)
	for range 6 {
		replica := w.start(t)
		all.Go(func() {
			printed, err := firstStart(t.Context(), replica, "")
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, printed...)
		})
	}
	all.Wait()
	if len(out) != 1 {
		t.Fatalf("%d replicas print a password", len(out))
	}
	w.mustBeAdmin(t, h, out[0].username, out[0].password)
}

// TestACrashWhileTheFirstAdminIsMade leaves one of these behind. The next start begins
// again, once the turn of the dead one is over.
func TestACrashWhileTheFirstAdminIsMade(t *testing.T) {
	t.Parallel()
	steps := []struct {
		name string
		do   func(ctx context.Context, h handlers) error
	}{
		{"its turn was taken", func(ctx context.Context, h handlers) error {
			_, err := h.admins.write(ctx, adminsRecord{First: firstAdmin{State: firstMaking, By: "the dead", At: time.Now()}}, 0)
			return err
		}},
		{"its password was stored", func(ctx context.Context, h handlers) error {
			return h.passwords.replace(ctx, firstAdminID, "told to nobody", 0)
		}},
		{"it was made", func(ctx context.Context, h handlers) error {
			_, err := first{handlers: h}.make(ctx)
			return err
		}},
	}
	for i := range steps {
		t.Run(steps[i].name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			h := w.start(t)
			for _, step := range steps[:i+1] {
				if err := step.do(t.Context(), h); err != nil {
					t.Fatal(err)
				}
			}
			waits, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if printed, err := firstStart(waits, h, ""); err == nil || len(printed) > 0 {
				t.Fatalf("it does not wait for the other's turn: %v", err)
			}
			age(t, h)
			printed, err := firstStart(t.Context(), w.start(t), "")
			if err != nil || len(printed) != 1 {
				t.Fatalf("it prints %d, %v", len(printed), err)
			}
			w.mustBeAdmin(t, h, printed[0].username, printed[0].password)
			if again, err := firstStart(t.Context(), w.start(t), ""); err != nil || len(again) > 0 {
				t.Errorf("it prints %d again, %v", len(again), err)
			}
		})
	}
}

// TestOneThatIsOvertakenWritesNothing: its turn was over, and it did not know.
func TestOneThatIsOvertakenWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.start(t)
	revision, err := h.passwords.revision(t.Context(), firstAdminID)
	if err != nil {
		t.Fatal(err)
	}
	printed, err := firstStart(t.Context(), h, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.passwords.replace(t.Context(), firstAdminID, "of the slow one", revision); err == nil {
		t.Error("the slow one replaces the password")
	}
	w.mustBeAdmin(t, h, "admin", printed[0].password)
}

// TestTheNameIsTaken by somebody who came before there were roles.
func TestTheNameIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.start(t)
	newcomer(t, h, "Admin")
	printed, err := firstStart(t.Context(), h, "")
	if err != nil || len(printed) != 1 || !slices.Contains(firstNames[1:], printed[0].username) {
		t.Fatalf("it prints %d, %v", len(printed), err)
	}
	w.mustBeAdmin(t, h, printed[0].username, printed[0].password)
}

// TestAForgottenPassword: what the README tells an operator to do.
func TestAForgottenPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.start(t)
	if _, err := firstStart(t.Context(), h, "forgotten password"); err != nil {
		t.Fatal(err)
	}
	if err := h.admins.bucket.Delete(t.Context(), adminsKey); err != nil {
		t.Fatal(err)
	}
	if _, err := firstStart(t.Context(), w.start(t), "another password"); err != nil {
		t.Fatal(err)
	}
	w.mustBeAdmin(t, h, "admin", "another password")
}

// age lets the record look old.
func age(t *testing.T, h handlers) {
	t.Helper()
	err := h.admins.change(t.Context(), func(r *adminsRecord) (bool, error) {
		r.First.At = r.First.At.Add(-time.Hour)
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
