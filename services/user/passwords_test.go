package user

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/alexedwards/argon2id"

	"sluice/pkg/aggregate"
	"sluice/pkg/endpoint"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
	"sluice/services/user/userapi"
	"sluice/streams"
)

func newHandlers(t *testing.T) handlers {
	t.Helper()
	js := natstest.Start(t).JetStream(t)
	if err := streams.Reconcile(t.Context(), js, slog.New(slog.DiscardHandler), "user"); err != nil {
		t.Fatal(err)
	}
	passwords, err := openPasswords(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := openClaims(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	again, err := openClaims(t.Context(), js)
	if err != nil || string(again.key) != string(claims.key) {
		t.Fatalf("a second start has another key, %v", err)
	}
	store := eventstore.New(js, streams.Users, userapi.Events)
	return handlers{users: aggregate.New(store, apply), store: store, passwords: passwords, claims: claims}
}

func TestTheHashOfNobodyCostsAsMuchAsAnother(t *testing.T) {
	t.Parallel()
	params, salt, key, err := argon2id.DecodeHash(nobody)
	if err != nil {
		t.Fatal(err)
	}
	if *params != hashing || len(salt) != int(hashing.SaltLength) || len(key) != int(hashing.KeyLength) {
		t.Errorf("it is made with %+v, others with %+v", *params, hashing)
	}
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	h := newHandlers(t)
	const password = "correct horse battery"
	ada, err := h.create(t.Context(), userapi.CreateRequest{Username: "Ada", Email: "ada@example.com", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.passwords.remove(t.Context(), "u-without-password"); err != nil {
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
	} {
		u, err := h.authenticate(t.Context(), userapi.AuthenticateRequest{Login: c.login, Password: c.password})
		if endpoint.CodeOf(err) != c.code {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.code == "" && u != ada || c.code != "" && u != (userapi.User{}) {
			t.Errorf("%s: %+v", c.name, u)
		}
	}
}

// TestARefusedUserLeavesNoPassword: the hash is written before the user, and goes
// with it. One that was there stays as it was.
func TestARefusedUserLeavesNoPassword(t *testing.T) {
	t.Parallel()
	h := newHandlers(t)
	ada, err := h.create(t.Context(), userapi.CreateRequest{Username: "ada", Email: "ada@example.com", Password: "correct horse battery"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ username, email, field string }{
		{"ADA", "other@example.com", "username"},
		{"other", "Ada@Example.com", "email"},
	} {
		_, err := h.create(t.Context(), userapi.CreateRequest{Username: c.username, Email: c.email, Password: "correct horse battery"})
		if endpoint.CodeOf(err) != endpoint.CodeConflict || !strings.Contains(err.Error(), "("+c.field+" is already taken") {
			t.Errorf("%s %s: %v", c.username, c.email, err)
		}
	}
	keys, err := h.passwords.bucket.Keys(t.Context())
	if err != nil || len(keys) != 1 || keys[0] != ada.ID {
		t.Errorf("there are passwords of %v, %v", keys, err)
	}
	if wrote, err := h.passwords.create(t.Context(), ada.ID, "another password"); wrote || err != nil {
		t.Errorf("a repeat writes the password again: %v, %v", wrote, err)
	}
	if ok, err := h.passwords.matches(t.Context(), ada.ID, "correct horse battery"); !ok || err != nil {
		t.Errorf("the password is lost: %v, %v", ok, err)
	}
}
