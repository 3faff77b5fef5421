package rpc_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/services/gateway/rpc"
	orderv1 "sluice/services/gateway/rpc/gen/sluice/order/v1"
	"sluice/services/gateway/rpc/gen/sluice/order/v1/orderv1connect"
	userv1 "sluice/services/gateway/rpc/gen/sluice/user/v1"
	"sluice/services/gateway/rpc/gen/sluice/user/v1/userv1connect"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
)

func TestWhoCalls(t *testing.T) {
	t.Parallel()
	type asked struct {
		user, token string
	}
	seen := make(chan asked, 1)
	see := func(ctx context.Context) { seen <- asked{auth.From(ctx).User, auth.TokenFrom(ctx)} }
	in, _ := sample(t)
	w := start(t, rpc.Config{})
	w.serve(t, "user", endpoint.Handle(userapi.Create, func(ctx context.Context, _ userapi.CreateRequest) (userapi.User, error) {
		see(ctx)
		return userapi.User{}, nil
	}))
	w.serve(t, "order",
		endpoint.Handle(orderapi.Get, func(ctx context.Context, _ orderapi.GetRequest) (orderapi.Order, error) {
			see(ctx)
			return in, nil
		}),
		endpoint.Handle(orderapi.Ship, func(ctx context.Context, _ orderapi.TransitionRequest) (orderapi.Order, error) {
			see(ctx)
			return in, nil
		}))
	conn := w.dial(t)
	create := func(ctx context.Context) error {
		return conn.Invoke(ctx, userv1connect.UserServiceCreateProcedure,
			&userv1.CreateRequest{Username: "zoe", Email: "zoe@example.com", Password: "correct horse"}, &userv1.CreateResponse{})
	}
	get := func(ctx context.Context) error {
		return conn.Invoke(ctx, orderv1connect.OrderServiceGetProcedure, &orderv1.GetRequest{Id: "o"}, &orderv1.GetResponse{})
	}
	ship := func(ctx context.Context) error {
		return conn.Invoke(ctx, orderv1connect.OrderServiceShipProcedure, &orderv1.ShipRequest{Id: "o"}, &orderv1.ShipResponse{})
	}
	for name, c := range map[string]struct {
		call func(context.Context) error
		ctx  context.Context
		code codes.Code
		who  asked
	}{
		"anybody registers":                {create, as(t, ""), codes.OK, asked{}},
		"one with a token registers":       {create, as(t, ada), codes.OK, asked{"u-ada", ada}},
		"a bad token where none is needed": {create, as(t, "stolen"), codes.Unauthenticated, asked{}},
		"nobody gets":                      {get, as(t, ""), codes.Unauthenticated, asked{}},
		"a bad token":                      {get, as(t, "stolen"), codes.Unauthenticated, asked{}},
		"another scheme":                   {get, as(t, "", "authorization", "Basic "+ada), codes.Unauthenticated, asked{}},
		"no token behind Bearer":           {get, as(t, "", "authorization", "Bearer "), codes.Unauthenticated, asked{}},
		"two tokens":                       {get, as(t, ada, "authorization", "Bearer "+olga), codes.Unauthenticated, asked{}},
		"a bare name":                      {get, as(t, "", "sluice-user-id", "u-ada", "nats-user", "u-ada"), codes.Unauthenticated, asked{}},
		"a customer gets":                  {get, as(t, ada), codes.OK, asked{"u-ada", ada}},
		"a customer ships":                 {ship, as(t, ada), codes.PermissionDenied, asked{}},
		"nobody ships":                     {ship, as(t, ""), codes.Unauthenticated, asked{}},
		"an operator ships":                {ship, as(t, olga), codes.OK, asked{"u-olga", olga}},
	} {
		err := c.call(c.ctx)
		var who asked
		select {
		case who = <-seen:
		default:
		}
		if status.Code(err) != c.code || who != c.who {
			t.Errorf("%s: %v, and the service was asked by %+v", name, err, who)
		}
		if err != nil && strings.Contains(err.Error(), ada) {
			t.Errorf("%s: the token gets out: %v", name, err)
		}
	}
	if log := w.log.String(); strings.Contains(log, ada) || strings.Contains(log, "stolen") {
		t.Errorf("a token is in the log:\n%s", log)
	}
}

// Who may not call is told so before anything is sent: here nobody would answer.
func TestWhoMayNotCallIsNotForwarded(t *testing.T) {
	t.Parallel()
	conn := start(t, rpc.Config{}).dial(t)
	for token, code := range map[string]codes.Code{"": codes.Unauthenticated, ada: codes.PermissionDenied, olga: codes.Unavailable} {
		err := conn.Invoke(as(t, token), orderv1connect.OrderServiceShipProcedure, &orderv1.ShipRequest{Id: "o"}, &orderv1.ShipResponse{})
		if status.Code(err) != code {
			t.Errorf("%q: %v", token, err)
		}
	}
}

// A gateway that cannot verify lets nobody in and says nothing of why.
func TestTokensThatCannotBeVerified(t *testing.T) {
	t.Parallel()
	w := start(t, rpc.Config{Verify: func(context.Context, string) (auth.Identity, error) {
		return auth.Identity{User: "u-ada"}, errors.New("the secret of the keys")
	}})
	err := w.dial(t).Invoke(as(t, ada), orderv1connect.OrderServiceGetProcedure, &orderv1.GetRequest{Id: "o"}, &orderv1.GetResponse{})
	if s := status.Convert(err); s.Code() != codes.Internal || s.Message() != "internal error" {
		t.Errorf("it says %v", err)
	}
	if log := w.log.String(); !strings.Contains(log, "the secret of the keys") {
		t.Errorf("the reason is lost:\n%s", log)
	}
}

func TestWithoutVerifyEveryTokenIsRefused(t *testing.T) {
	t.Parallel()
	handlers := rpc.Handlers(rpc.Config{})
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, userv1connect.UserServiceCreateProcedure, strings.NewReader("{}"))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+ada)
	handlers["/"+userv1connect.UserServiceName+"/"].ServeHTTP(rec, req)
	if rec.Code != http.StatusUnauthorized || !strings.Contains(rec.Body.String(), `"unauthenticated"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
