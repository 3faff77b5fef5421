package user

import (
	"bytes"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/user/userapi"
	"sluice/streams"
)

// TestAuthenticate holds too that a password is compared whoever is named: an answer
// takes as long for nobody as for somebody.
func TestAuthenticate(t *testing.T) {
	t.Parallel()
	h := newWorld(t).start(t)
	compared := h.counted()
	ada, err := h.create(t.Context(), userapi.CreateRequest{Username: "Ada", Email: "ada@example.com", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, login, password string
		code                  endpoint.Code
	}{
		{"by name", "Ada", password, ""},
		{"by name in another case", "aDA", password, ""},
		{"by address", "ADA@example.com", password, ""},
		{"wrong password", "Ada", "correct horse batterie", endpoint.CodeUnauthenticated},
		{"no password", "Ada", "", endpoint.CodeUnauthenticated},
		{"unknown name", "eve", password, endpoint.CodeUnauthenticated},
		{"unknown address", "eve@example.com", password, endpoint.CodeUnauthenticated},
		{"nobody", "", password, endpoint.CodeUnauthenticated},
		{"where the hash of nobody is looked for", nobodyID, password, endpoint.CodeUnauthenticated},
	} {
		before := compared.Load()
		u, err := h.authenticate(t.Context(), userapi.AuthenticateRequest{Login: c.login, Password: c.password})
		mustCode(t, c.name, err, c.code)
		if c.code == "" && !reflect.DeepEqual(u, ada) || c.code != "" && !reflect.DeepEqual(u, userapi.User{}) {
			t.Errorf("%s: %+v", c.name, u)
		}
		if ran := compared.Load() - before; ran != 1 {
			t.Errorf("%s: %d passwords were compared", c.name, ran)
		}
	}
}

func TestASession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.start(t)
	ada := newcomer(t, h, "ada")
	first := h.mustLogin(t, "ada", password)
	if first.TokenType != "Bearer" || first.ExpiresIn != 900 || len(first.RefreshToken) < 80 {
		t.Errorf("the session is %s, %d s", first.TokenType, first.ExpiresIn)
	}
	last := first
	for range 3 {
		next, err := w.start(t).goOn(t.Context(), last.RefreshToken) // by any replica
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range []string{last.AccessToken, next.AccessToken} {
			if id, err := w.verifier.Verify(t.Context(), token); err != nil || id.User != ada.ID || id.Roles != nil {
				t.Errorf("%+v, %v", id, err)
			}
		}
		last = next
	}
	// The first token again: somebody has stolen it, or its successor.
	_, err := h.goOn(t.Context(), first.RefreshToken)
	mustCode(t, "a token that comes again", err, endpoint.CodeUnauthenticated)
	_, err = h.goOn(t.Context(), last.RefreshToken)
	mustCode(t, "the last token of that session", err, endpoint.CodeUnauthenticated)
	if _, err := h.goOn(t.Context(), h.mustLogin(t, "ada@example.com", password).RefreshToken); err != nil {
		t.Errorf("another session: %v", err)
	}
}

// TestOfManyRequestsWithOneTokenOneGoesOn, at most, and its session is over then.
func TestOfManyRequestsWithOneTokenOneGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.start(t)
	newcomer(t, h, "ada")
	token := h.mustLogin(t, "ada", password).RefreshToken
	var (
		all  sync.WaitGroup
		good atomic.Int64
		next atomic.Value
	)
	for range 8 {
		all.Go(func() {
			s, err := h.goOn(t.Context(), token)
			if err == nil {
				good.Add(1)
				next.Store(s.RefreshToken)
				return
			}
			mustCode(t, "another with that token", err, endpoint.CodeUnauthenticated)
		})
	}
	all.Wait()
	if good.Load() != 1 {
		t.Fatalf("%d requests with one token went on", good.Load())
	}
	_, err := h.goOn(t.Context(), next.Load().(string))
	mustCode(t, "the session", err, endpoint.CodeUnauthenticated)
}

func TestTokensThatAreNoSession(t *testing.T) {
	t.Parallel()
	h := newWorld(t).start(t)
	ada, eve := newcomer(t, h, "ada"), newcomer(t, h, "eve")
	good := h.mustLogin(t, "ada", password)
	parsed, err := parseRefreshToken(good.RefreshToken)
	if err != nil || parsed.user.String() != ada.ID || parsed.String() != good.RefreshToken {
		t.Fatalf("the token is of %s, %v", parsed.user, err)
	}
	stolen := parsed // eve cannot make it hers
	if other, err := parseRefreshToken(h.mustLogin(t, "eve", password).RefreshToken); err == nil && other.user.String() == eve.ID {
		stolen.user = other.user
	}
	unknown := parsed
	unknown.name[0]++
	for _, token := range []string{
		"", "x", good.AccessToken, good.RefreshToken + "A", good.RefreshToken[1:], strings.Repeat("A", len(good.RefreshToken)), stolen.String(), unknown.String(),
	} {
		if token != "" {
			_, err := h.goOn(t.Context(), token)
			mustCode(t, token, err, endpoint.CodeUnauthenticated)
		}
		if _, err := h.logout(t.Context(), userapi.LogoutRequest{RefreshToken: token}); err != nil {
			t.Errorf("the end of %q: %v", token, err)
		}
	}
	if _, err := h.goOn(t.Context(), good.RefreshToken); err != nil {
		t.Errorf("it took the session with it: %v", err)
	}
}

func TestLogout(t *testing.T) {
	t.Parallel()
	h := newWorld(t).start(t)
	newcomer(t, h, "ada")
	first, stays := h.mustLogin(t, "ada", password), h.mustLogin(t, "ada", password)
	next, err := h.goOn(t.Context(), first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := h.logout(t.Context(), userapi.LogoutRequest{RefreshToken: first.RefreshToken}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = h.goOn(t.Context(), next.RefreshToken)
	mustCode(t, "after the end", err, endpoint.CodeUnauthenticated)
	if _, err := h.goOn(t.Context(), stays.RefreshToken); err != nil {
		t.Errorf("another session: %v", err)
	}
}

func TestAnotherPasswordEndsAllSessions(t *testing.T) {
	t.Parallel()
	h := newWorld(t).start(t)
	ada := newcomer(t, h, "ada")
	newcomer(t, h, "eve")
	sessions := []userapi.Session{h.mustLogin(t, "ada", password), h.mustLogin(t, "ada", password)}
	others := h.mustLogin(t, "eve", password)
	old, err := h.passwords.revision(t.Context(), ada.ID)
	if err != nil {
		t.Fatal(err)
	}
	const next = "another battery horse"
	change := func(id auth.Identity, current string) error {
		_, err := h.setPassword(auth.With(t.Context(), id, ""), userapi.SetPasswordRequest{ID: ada.ID, Current: current, New: next})
		return err
	}
	mustCode(t, "by another", change(auth.Identity{User: "eve"}, password), endpoint.CodeForbidden)
	mustCode(t, "by an admin", change(auth.Identity{User: "eve", Roles: []auth.Role{auth.Admin}}, password), endpoint.CodeForbidden)
	mustCode(t, "by a service", change(auth.Identity{Service: "order"}, password), endpoint.CodeForbidden)
	mustCode(t, "by nobody", change(auth.Identity{}, password), endpoint.CodeForbidden)
	mustCode(t, "not knowing it", change(auth.Identity{User: ada.ID}, "something else"), endpoint.CodeInvalid)
	mustCode(t, "by herself", change(auth.Identity{User: ada.ID}, password), "")

	// One that had proved the old password, and begins only now.
	late, err := h.sessions.begin(t.Context(), ada.ID, old)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{sessions[0].RefreshToken, sessions[1].RefreshToken, late} {
		_, err := h.goOn(t.Context(), token)
		mustCode(t, "a session of before", err, endpoint.CodeUnauthenticated)
	}
	if _, err := h.goOn(t.Context(), others.RefreshToken); err != nil {
		t.Errorf("another's session: %v", err)
	}
	_, err = h.login(t.Context(), userapi.LoginRequest{Login: "ada", Password: password})
	mustCode(t, "the password of before", err, endpoint.CodeUnauthenticated)
	h.mustLogin(t, "ada", next)
}

func TestErasureEndsSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.start(t)
	ada := newcomer(t, h, "ada")
	s, late := h.mustLogin(t, "ada", password), h.mustLogin(t, "ada", password)
	if _, err := h.erase(as(t.Context(), ada.ID), userapi.EraseRequest{ID: ada.ID}); err != nil {
		t.Fatal(err)
	}
	_, err := h.goOn(t.Context(), s.RefreshToken) // before anything was cleared away
	mustCode(t, "a session of the erased", err, endpoint.CodeUnauthenticated)
	_, err = h.login(t.Context(), userapi.LoginRequest{Login: "ada", Password: password})
	mustCode(t, "a login of the erased", err, endpoint.CodeUnauthenticated)

	e := erasure{users: h.users, js: h.store.JetStream(), passwords: h.passwords, sessions: h.sessions, log: h.sessions.log}
	history, err := h.users.History(t.Context(), ada.ID)
	if err != nil {
		t.Fatal(err)
	}
	erased := event.Of[userapi.Erased]{Event: history[len(history)-1], Data: userapi.Erased{UserID: ada.ID}}
	for range 2 {
		if err := e.userErased(t.Context(), erased); err != nil {
			t.Fatal(err)
		}
	}
	_, err = h.goOn(t.Context(), late.RefreshToken)
	mustCode(t, "a session of the erased", err, endpoint.CodeUnauthenticated)
	if keys, err := h.sessions.bucket.Keys(t.Context()); err == nil {
		t.Errorf("sessions are left: %v", keys)
	}
}

// TestNothingThatIsStoredLogsIn looks at what lies in the buckets.
func TestNothingThatIsStoredLogsIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.start(t)
	ada := newcomer(t, h, "ada")
	s := h.mustLogin(t, "ada", password)
	token, err := parseRefreshToken(s.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	secrets := [][]byte{[]byte(password), []byte(s.RefreshToken), []byte(s.AccessToken), token.secret[:], token.name[:], []byte("ada@example.com")}
	looked := 0
	for _, bucket := range []string{streams.BucketSessions, streams.BucketLoginAttempts, streams.BucketPasswords, streams.BucketKeys, streams.BucketUserKeys} {
		kv, err := w.js.KeyValue(t.Context(), bucket)
		if err != nil {
			t.Fatal(err)
		}
		watch, err := kv.WatchAll(t.Context(), jetstream.IgnoreDeletes())
		if err != nil {
			t.Fatal(err)
		}
		for entry := range watch.Updates() {
			if entry == nil {
				break
			}
			looked++
			for _, secret := range secrets {
				if bytes.Contains(entry.Value(), secret) || strings.Contains(entry.Key(), string(secret)) {
					t.Errorf("%s %s holds a secret", bucket, entry.Key())
				}
			}
			if bucket == streams.BucketPasswords && (entry.Key() != ada.ID || !bytes.HasPrefix(entry.Value(), []byte("$argon2id$"))) {
				t.Errorf("%s of %s is no hash", bucket, entry.Key())
			}
		}
		if err := watch.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if looked < 5 {
		t.Errorf("looked at %d entries", looked)
	}
}
