package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"sluice/pkg/endpoint"
	"sluice/services/gateway/rpc"
	orderv1 "sluice/services/gateway/rpc/gen/sluice/order/v1"
	"sluice/services/gateway/rpc/gen/sluice/order/v1/orderv1connect"
	userv1 "sluice/services/gateway/rpc/gen/sluice/user/v1"
	"sluice/services/gateway/rpc/gen/sluice/user/v1/userv1connect"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
)

// fields returns the violations and the delay in the details of an error, "field: message; …".
func details(t *testing.T, err error) (fields string, retry time.Duration) {
	t.Helper()
	var parts []string
	for _, d := range status.Convert(err).Details() {
		switch d := d.(type) {
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				parts = append(parts, v.GetField()+": "+v.GetDescription())
			}
		case *errdetails.RetryInfo:
			retry = d.GetRetryDelay().AsDuration()
		default:
			t.Errorf("an unknown detail %v", d)
		}
	}
	return strings.Join(parts, "; "), retry
}

func TestErrors(t *testing.T) {
	t.Parallel()
	field := endpoint.FieldError{Field: "items[0].quantity", Message: "must be 1 or more"}
	errs := []struct {
		err     error
		code    codes.Code
		message string
		fields  string
		retry   time.Duration
	}{
		{
			endpoint.Invalid("bad", field, endpoint.FieldError{Field: "id", Message: "is odd"}), codes.InvalidArgument, "bad",
			"items[0].quantity: must be 1 or more; id: is odd", 0,
		},
		{endpoint.Unauthenticated("who"), codes.Unauthenticated, "who", "", 0},
		{endpoint.Forbidden("no"), codes.PermissionDenied, "no", "", 0},
		{endpoint.NotFound("Order not found"), codes.NotFound, "Order not found", "", 0},
		{endpoint.Conflict("taken", endpoint.FieldError{Field: "email", Message: "is taken"}), codes.Aborted, "taken", "email: is taken", 0},
		{endpoint.Stale("it moved on"), codes.FailedPrecondition, "it moved on", "", 0},
		{endpoint.RateLimited("slow down", 1500*time.Millisecond), codes.ResourceExhausted, "slow down", "", 1500 * time.Millisecond},
		{endpoint.Unavailable("later").After(2 * time.Second), codes.Unavailable, "later", "", 2 * time.Second},
		{endpoint.Deadline("too slow"), codes.DeadlineExceeded, "too slow", "", 0},
		{errors.New("the secret of the database"), codes.Internal, "internal error", "", 0},
		{&endpoint.Error{Code: "exotic", Message: "the secret of the code"}, codes.Internal, "internal error", "", 0},
		{fmt.Errorf("secret: %w", endpoint.Conflict("wrapped").Because(errors.New("secret"))), codes.Aborted, "wrapped", "", 0},
	}
	w := start(t, rpc.Config{})
	w.serve(t, "order", endpoint.Handle(orderapi.Get, func(ctx context.Context, req orderapi.GetRequest) (orderapi.Order, error) {
		endpoint.Wrote(ctx, "ORDERS", 7)
		return orderapi.Order{}, errs[req.Version-1].err
	}))
	conn := w.dial(t)
	for i, c := range errs {
		var header metadata.MD
		err := conn.Invoke(as(t, ada), orderv1connect.OrderServiceGetProcedure,
			&orderv1.GetRequest{Id: "o", Past: &orderv1.GetRequest_Version{Version: uint64(i + 1)}}, &orderv1.GetResponse{}, grpc.Header(&header))
		fields, retry := details(t, err)
		s := status.Convert(err)
		if s.Code() != c.code || s.Message() != c.message || fields != c.fields || retry != c.retry {
			t.Errorf("%v is %v with %q and %v", c.err, s, fields, retry)
		}
		if strings.Contains(s.String(), "secret") {
			t.Errorf("%v gets out", s)
		}
		if got := header.Get(endpoint.HeaderPosition); len(got) != 1 || got[0] != "ORDERS=7" {
			t.Errorf("%v: the position is %v", c.err, got)
		}
	}
	log := w.log.String()
	if !strings.Contains(log, "level=INFO msg=\"call failed\" procedure=/sluice.order.v1.OrderService/Get code=not_found") ||
		!strings.Contains(log, "level=ERROR msg=\"call failed\"") {
		t.Errorf("failed calls are not logged:\n%s", log)
	}
	if strings.Contains(log, "status=0") {
		t.Errorf("the status of HTTP is not logged:\n%s", log)
	}
}

// What the .proto allows and an endpoint can't be asked is refused here, field by field.
func TestRequestsThatCannotBe(t *testing.T) {
	t.Parallel()
	w := start(t, rpc.Config{})
	w.serve(t, "order",
		endpoint.Handle(orderapi.Create, func(context.Context, orderapi.CreateRequest) (orderapi.Order, error) {
			return orderapi.Order{}, errors.New("asked")
		}),
		endpoint.Handle(orderapi.Get, func(context.Context, orderapi.GetRequest) (orderapi.Order, error) {
			return orderapi.Order{}, errors.New("asked")
		}),
		endpoint.Handle(orderapi.Search, func(context.Context, orderapi.SearchRequest) (orderapi.ListResponse, error) {
			return orderapi.ListResponse{}, errors.New("asked")
		}))
	conn := w.dial(t)
	never := &timestamppb.Timestamp{Seconds: 1 << 60}
	item := func(price *orderv1.Money) *orderv1.Item {
		return &orderv1.Item{ProductId: "p", Quantity: 1, Price: price}
	}
	const noAmount = `must be an amount like {"number":"19.99","currency":"EUR"}`
	for _, c := range []struct {
		procedure string
		req       any
		fields    string
	}{
		{orderv1connect.OrderServiceGetProcedure, &orderv1.GetRequest{Id: "o", Past: &orderv1.GetRequest_At{At: never}}, "at: is not a time of the years 1 to 9999"},
		{orderv1connect.OrderServiceGetProcedure, &orderv1.GetRequest{}, "id: is required"},
		{orderv1connect.OrderServiceSearchProcedure, &orderv1.SearchRequest{From: never}, "from: is not a time of the years 1 to 9999"},
		{orderv1connect.OrderServiceSearchProcedure, &orderv1.SearchRequest{To: never}, "to: is not a time of the years 1 to 9999"},
		{orderv1connect.OrderServiceSearchProcedure, &orderv1.SearchRequest{Status: 6}, "status: is not known"},
		{orderv1connect.OrderServiceSearchProcedure, &orderv1.SearchRequest{Limit: -1}, "limit: must be at least 0"},
		{orderv1connect.OrderServiceCreateProcedure, &orderv1.CreateRequest{UserId: "u", Items: []*orderv1.Item{
			item(nil), item(euro("1")), item(euro("")), item(euro("NaN")), item(euro("1e9")), item(euro("+1")),
			item(&orderv1.Money{Number: "1", Currency: "eur"}), item(&orderv1.Money{}), item(euro(strings.Repeat("9", 25))),
		}}, "items[0].price: is required; items[2].price: " + noAmount + "; items[3].price: " + noAmount + "; items[4].price: " + noAmount +
			"; items[5].price: " + noAmount + "; items[6].price: " + noAmount + "; items[7].price: " + noAmount + "; items[8].price: " + noAmount},
		{
			orderv1connect.OrderServiceCreateProcedure, &orderv1.CreateRequest{UserId: "u", Items: []*orderv1.Item{item(euro("-1"))}},
			"items[0].price: must not be negative",
		},
		{orderv1connect.OrderServiceCreateProcedure, &orderv1.CreateRequest{UserId: "u"}, "items: must have at least 1 items"},
	} {
		err := conn.Invoke(as(t, olga), c.procedure, c.req, &orderv1.GetResponse{})
		if fields, _ := details(t, err); status.Code(err) != codes.InvalidArgument || fields != c.fields {
			t.Errorf("%v: %v with %q, want %q", c.req, err, fields, c.fields)
		}
	}
}

// Three ways to get no answer, and none is taken for another.
func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	w := start(t, rpc.Config{Timeout: 300 * time.Millisecond})
	conn := w.dial(t)
	get := func() error {
		return conn.Invoke(as(t, ada), userv1connect.UserServiceGetProcedure, &userv1.GetRequest{Id: "u"}, &userv1.GetResponse{})
	}
	if err := get(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "nobody serves svc.user.get") {
		t.Errorf("without a service: %v", err)
	}
	ended := make(chan error, 1)
	w.serve(t, "user", endpoint.Handle(userapi.Get, func(ctx context.Context, _ userapi.GetRequest) (userapi.User, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return userapi.User{}, ctx.Err()
	}))
	if err := get(); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a slow service: %v", err)
	}
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the slow service ended with %v", err)
	}
	w.srv.Stop()
	for start := time.Now(); ; {
		err := get()
		if status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), "NATS is unreachable") {
			break
		}
		if time.Since(start) > patience {
			t.Fatalf("without NATS: %v", err)
		}
	}
}
