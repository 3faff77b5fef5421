package user

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/app"
	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
	"sluice/services/user/userapi"
	"sluice/streams"
)

// password is everybody's in the tests.
const password = "correct horse battery"

// world is a NATS server with what the user service needs.
type world struct {
	srv      *natstest.Server
	js       jetstream.JetStream
	verifier *auth.Verifier
}

func newWorld(t *testing.T) world {
	t.Helper()
	srv := natstest.Start(t)
	w := world{srv: srv, js: srv.JetStream(t)}
	if err := streams.Reconcile(t.Context(), w.js, slog.New(slog.DiscardHandler), 1, "user"); err != nil {
		t.Fatal(err)
	}
	w.verifier = auth.NewVerifier(w.js, auth.Config{})
	return w
}

// start returns the handlers of one more replica.
func (w world) start(t *testing.T) handlers {
	t.Helper()
	js := w.srv.JetStream(t)
	env := app.Env{JetStream: js, Log: slog.New(slog.DiscardHandler)}
	h, err := newHandlers(t.Context(), env, defaults(), eventstore.New(js, streams.Users, userapi.Events))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.ring.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.ring.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return h
}

// counted counts how often a replica compares a password with a hash.
func (h handlers) counted() *atomic.Int64 {
	var n atomic.Int64
	compare := h.passwords.compare
	h.passwords.compare = func(password, hash string) (bool, error) {
		n.Add(1)
		return compare(password, hash)
	}
	return &n
}

// newcomer makes a user with the password of all tests.
func newcomer(t *testing.T, h handlers, name string) userapi.User {
	t.Helper()
	u, err := h.create(t.Context(), userapi.CreateRequest{Username: name, Email: name + "@example.com", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// as returns a context in which a user with these roles asks.
func as(ctx context.Context, user string, roles ...auth.Role) context.Context {
	return auth.With(ctx, auth.Identity{User: user, Roles: roles}, "")
}

func (h handlers) mustLogin(t *testing.T, login, password string) userapi.Session {
	t.Helper()
	s, err := h.login(t.Context(), userapi.LoginRequest{Login: login, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (h handlers) goOn(ctx context.Context, token string) (userapi.Session, error) {
	return h.login(ctx, userapi.LoginRequest{RefreshToken: token})
}

func mustCode(t *testing.T, what string, err error, code endpoint.Code) {
	t.Helper()
	if endpoint.CodeOf(err) != code {
		t.Errorf("%s: %v, want %q", what, err, code)
	}
}
