package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"sluice/pkg/endpoint"
	"sluice/services/gateway/rpc"
	orderv1 "sluice/services/gateway/rpc/gen/sluice/order/v1"
	"sluice/services/gateway/rpc/gen/sluice/order/v1/orderv1connect"
	"sluice/services/order/orderapi"
)

// client returns an HTTP client that speaks one version of HTTP.
func client(t *testing.T, version int) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(version == 1)
	protocols.SetUnencryptedHTTP2(version == 2)
	c := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// Each protocol gets the same answers, and errors with their details.
func TestProtocols(t *testing.T) {
	t.Parallel()
	in, out := sample(t)
	w := start(t, rpc.Config{})
	w.serve(t, "order", endpoint.Handle(orderapi.Cancel, func(ctx context.Context, req orderapi.TransitionRequest) (orderapi.Order, error) {
		endpoint.Wrote(ctx, "ORDERS", 42)
		if req.Reason != "" {
			return orderapi.Order{}, endpoint.Conflict("it is shipped", endpoint.FieldError{Field: "status", Message: "is shipped"})
		}
		return in, nil
	}))
	for name, c := range map[string]struct {
		version int
		options []connect.ClientOption
	}{
		"Connect":                           {1, nil},
		"Connect over HTTP/2":               {2, nil},
		"Connect with JSON":                 {1, []connect.ClientOption{connect.WithProtoJSON()}},
		"Connect with JSON, compressed":     {2, []connect.ClientOption{connect.WithProtoJSON(), connect.WithSendGzip()}},
		"gRPC":                              {2, []connect.ClientOption{connect.WithGRPC()}},
		"gRPC, compressed":                  {2, []connect.ClientOption{connect.WithGRPC(), connect.WithSendGzip()}},
		"gRPC with JSON":                    {2, []connect.ClientOption{connect.WithGRPC(), connect.WithProtoJSON()}},
		"gRPC-Web":                          {1, []connect.ClientOption{connect.WithGRPCWeb()}},
		"gRPC-Web over HTTP/2":              {2, []connect.ClientOption{connect.WithGRPCWeb()}},
		"gRPC-Web with JSON and compressed": {1, []connect.ClientOption{connect.WithGRPCWeb(), connect.WithProtoJSON(), connect.WithSendGzip()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			orders := orderv1connect.NewOrderServiceClient(client(t, c.version), "http://"+w.addr, c.options...)
			ctx, info := connect.NewClientContext(as(t, ""))
			info.RequestHeader().Set("Authorization", "Bearer "+ada)
			got, err := orders.Cancel(ctx, &orderv1.CancelRequest{Id: "o-1"})
			same(t, got, &orderv1.CancelResponse{Order: out}, err)
			if info.ResponseHeader().Get("Sluice-Position") != "ORDERS=42" || info.ResponseHeader().Get("Sluice-Correlation-Id") == "" {
				t.Errorf("the headers are %v", info.ResponseHeader())
			}

			ctx, info = connect.NewClientContext(as(t, ""))
			info.RequestHeader().Set("Authorization", "Bearer "+ada)
			_, err = orders.Cancel(ctx, &orderv1.CancelRequest{Id: "o-1", Reason: "late"})
			e, ok := errors.AsType[*connect.Error](err)
			if !ok || e.Code() != connect.CodeAborted || e.Message() != "it is shipped" || len(e.Details()) != 1 {
				t.Fatalf("the error is %v", err)
			}
			detail, err := e.Details()[0].Value()
			if err != nil {
				t.Fatal(err)
			}
			if bad, ok := detail.(*errdetails.BadRequest); !ok || bad.GetFieldViolations()[0].GetField() != "status" {
				t.Errorf("the detail is %v", detail)
			}
			if e.Meta().Get("Sluice-Position") != "ORDERS=42" {
				t.Errorf("the error's headers are %v", e.Meta())
			}
		})
	}
}

// Whoever has curl can call.
func TestPlainJSON(t *testing.T) {
	t.Parallel()
	in, _ := sample(t)
	in.Items = in.Items[:1]
	w := start(t, rpc.Config{})
	w.serve(t, "order", answers(t, orderapi.Get, orderapi.GetRequest{ID: "o-1"}, in))
	post := func(path, contentType, body string) (int, string) {
		req, err := http.NewRequestWithContext(as(t, ""), http.MethodPost, "http://"+w.addr+path, bytes.NewBufferString(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Authorization", "Bearer "+ada)
		res, err := client(t, 1).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(answer)
	}
	code, body := post(orderv1connect.OrderServiceGetProcedure, "application/json", `{"id":"o-1"}`)
	const want = `{"order":{"id":"o-1","userId":"u-ada","items":[{"productId":"p-1","quantity":"2","price":{"number":"19.99","currency":"EUR"}}],` +
		`"totalAmount":{"number":"40.980000","currency":"EUR"},"status":"ORDER_STATUS_SHIPPED","createdAt":"2026-11-23T05:06:07.000000890Z",` +
		`"updatedAt":"2026-11-23T06:06:07.000000890Z","version":"3"}}`
	if code != http.StatusOK || canonical(t, body) != canonical(t, want) {
		t.Errorf("%d %s", code, body)
	}
	for _, c := range []struct {
		path, contentType, body string
		status                  int
	}{
		{orderv1connect.OrderServiceGetProcedure, "application/json", `{"id":`, http.StatusBadRequest},
		{orderv1connect.OrderServiceGetProcedure, "application/json", `{"id":7}`, http.StatusBadRequest},
		{orderv1connect.OrderServiceGetProcedure, "application/proto", "\xff\xff\xff", http.StatusBadRequest},
		{orderv1connect.OrderServiceGetProcedure, "application/proto", "\x0a\x01\xff", http.StatusBadRequest}, // an id that is not UTF-8
		{orderv1connect.OrderServiceGetProcedure, "text/plain", `{"id":"o-1"}`, http.StatusUnsupportedMediaType},
		{"/sluice.order.v1.OrderService/Eat", "application/json", `{}`, http.StatusNotFound},
	} {
		if code, body := post(c.path, c.contentType, c.body); code != c.status {
			t.Errorf("%s %s %q: %d %s", c.path, c.contentType, c.body, code, body)
		}
	}
}
