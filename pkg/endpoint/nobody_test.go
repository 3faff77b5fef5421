package endpoint_test

import (
	"context"
	"testing"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
)

// TestNobodyIsNotTheService: what a service does for nobody, it does not do as itself.
func TestNobodyIsNotTheService(t *testing.T) {
	t.Parallel()
	seen := make(chan auth.Identity, 1)
	behind := serve(t, endpoint.ServiceConfig{Verify: verify}, func(ctx context.Context, _ createRequest) (order, error) {
		seen <- auth.From(ctx)
		return order{}, nil
	})
	own := endpoint.NewCaller(behind.srv.Connect(t), endpoint.CallerConfig{Token: func(context.Context) (string, error) { return "service shop", nil }})
	front := serve(t, endpoint.ServiceConfig{Verify: verify}, func(ctx context.Context, req createRequest) (order, error) {
		return endpoint.Call(ctx, own, create, req)
	})
	for token, want := range map[string]auth.Identity{"": {}, "user u-1": {User: "u-1"}} {
		ctx := t.Context()
		if token != "" {
			ctx = auth.With(ctx, auth.Identity{}, token)
		}
		if _, err := endpoint.Call(ctx, front.caller, create, good()); err != nil {
			t.Fatal(err)
		}
		if id := <-seen; id.User != want.User || id.Service != want.Service {
			t.Errorf("for %q %+v asks", token, id)
		}
	}
	if _, err := endpoint.Call(t.Context(), own, create, good()); err != nil {
		t.Fatal(err)
	}
	if id := <-seen; id.Service != "shop" {
		t.Errorf("for itself %+v asks", id)
	}
}
