package endpoint_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
)

// verify takes tokens that say in plain text whom they belong to: "user u-1 operator",
// "service order".
func verify(_ context.Context, token string) (auth.Identity, error) {
	kind, rest, _ := strings.Cut(token, " ")
	name, role, _ := strings.Cut(rest, " ")
	switch {
	case kind == "service":
		return auth.Identity{Service: name}, nil
	case kind == "user" && role != "":
		return auth.Identity{User: name, Roles: []auth.Role{auth.Role(role)}}, nil
	case kind == "user":
		return auth.Identity{User: name}, nil
	default:
		return auth.Identity{}, endpoint.Unauthenticated("the token is no good")
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	const ok = endpoint.Code("")
	const no, who = endpoint.CodeForbidden, endpoint.CodeUnauthenticated
	tokens := []string{"", "user u-1", "user u-1 operator", "user u-1 admin", "service order", "stolen"}
	for access, want := range map[endpoint.Access][]endpoint.Code{
		endpoint.Public:   {ok, ok, ok, ok, ok, who},
		endpoint.SignedIn: {who, ok, ok, ok, ok, who},
		endpoint.Operator: {who, no, ok, ok, ok, who},
		endpoint.Admin:    {who, no, no, ok, no, who},
		endpoint.Internal: {who, no, no, no, ok, who},
	} {
		t.Run(string(access), func(t *testing.T) {
			t.Parallel()
			srv := natstest.Start(t)
			guarded := create
			guarded.Auth = access
			called := false
			server := endpoint.Serve(srv.Connect(t), endpoint.ServiceConfig{Name: "order", Version: "1.0.0", Verify: verify},
				endpoint.Handle(guarded, func(context.Context, createRequest) (order, error) {
					called = true
					return order{}, nil
				}))
			if err := server.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := server.Stop(context.Background()); err != nil {
					t.Error(err)
				}
			})
			caller := endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{})
			for i, token := range tokens {
				called = false
				ctx := t.Context()
				if token != "" {
					ctx = auth.With(ctx, auth.Identity{}, token)
				}
				_, err := endpoint.Call(ctx, caller, guarded, good())
				if endpoint.CodeOf(err) != want[i] || called != (want[i] == ok) {
					t.Errorf("%q: %v, called %v, want %q", token, err, called, want[i])
				}
			}
		})
	}
}

func TestTokensThatAreNone(t *testing.T) {
	t.Parallel()
	s := serve(t, endpoint.ServiceConfig{Verify: verify}, accept)
	for _, h := range []nats.Header{
		{endpoint.HeaderAuthorization: {"Basic dTpw"}},
		{endpoint.HeaderAuthorization: {"Bearer "}},
		{endpoint.HeaderAuthorization: {"Bearer user u-1", "Bearer user u-2"}},
	} {
		_, err := s.caller.Request(t.Context(), create.Subject(), h, nil)
		if code := endpoint.CodeOf(err); code != endpoint.CodeUnauthenticated && code != endpoint.CodeInvalid || strings.Contains(err.Error(), "required") {
			t.Errorf("%v: %v", h, err)
		}
	}
	tokenless := serve(t, endpoint.ServiceConfig{}, accept)
	_, err := endpoint.Call(auth.With(t.Context(), auth.Identity{}, "user u-1"), tokenless.caller, create, good())
	if endpoint.CodeOf(err) != endpoint.CodeUnauthenticated {
		t.Errorf("a service that verifies nothing took a token: %v", err)
	}
}

func TestCallsProveWhoAsks(t *testing.T) {
	t.Parallel()
	seen := make(chan auth.Identity, 1)
	s := serve(t, endpoint.ServiceConfig{Verify: verify}, func(ctx context.Context, _ createRequest) (order, error) {
		seen <- auth.From(ctx)
		return order{}, nil
	})
	own := endpoint.NewCaller(s.srv.Connect(t), endpoint.CallerConfig{Token: func(context.Context) (string, error) { return "service shop", nil }})
	if _, err := endpoint.Call(t.Context(), own, create, good()); err != nil {
		t.Fatal(err)
	}
	if id := <-seen; id.Service != "shop" {
		t.Errorf("without anybody in the context %+v asks", id)
	}
	if _, err := endpoint.Call(auth.With(t.Context(), auth.Identity{}, "user u-1"), own, create, good()); err != nil {
		t.Fatal(err)
	}
	if id := <-seen; id.User != "u-1" || id.Service != "" {
		t.Errorf("for u-1 %+v asks", id)
	}
	broken := errors.New("no key yet")
	failing := endpoint.NewCaller(s.srv.Connect(t), endpoint.CallerConfig{Token: func(context.Context) (string, error) { return "", broken }})
	if _, err := endpoint.Call(t.Context(), failing, create, good()); !errors.Is(err, broken) {
		t.Errorf("Call = %v", err)
	}
}

func TestExpectedVersion(t *testing.T) {
	t.Parallel()
	s := serve(t, endpoint.ServiceConfig{}, func(ctx context.Context, _ createRequest) (order, error) {
		if version, ok := endpoint.Expected(ctx); !ok || version != 7 {
			t.Errorf("Expected = %d, %v", version, ok)
		}
		return order{}, endpoint.Stale("it moved on")
	})
	_, err := s.caller.Forward(t.Context(), create.Spec(), nats.Header{endpoint.HeaderExpectedVersion: {"7"}},
		[]byte(`{"user_id":"u-1","items":[{"product_id":"p","quantity":1,"price":{"number":"1","currency":"EUR"}}]}`))
	e, ok := errors.AsType[*endpoint.Error](err)
	if !ok || e.Code != endpoint.CodeConflict || e.Status() != 412 {
		t.Errorf("Forward = %v", err)
	}
	if _, ok := endpoint.Expected(t.Context()); ok {
		t.Error("expects something outside of a request")
	}
}
