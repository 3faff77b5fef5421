package rpc_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sluice/pkg/endpoint"
	"sluice/services/gateway/rpc"
	userv1 "sluice/services/gateway/rpc/gen/sluice/user/v1"
	"sluice/services/gateway/rpc/gen/sluice/user/v1/userv1connect"
	"sluice/services/user/userapi"
)

// Calls are measured by method and status, and what a client makes up is one method.
func TestCallsAreMeasured(t *testing.T) {
	t.Parallel()
	reader := metric.NewManualReader()
	w := start(t, rpc.Config{Meters: metric.NewMeterProvider(metric.WithReader(reader))})
	w.serve(t, "user", endpoint.Handle(userapi.Get, func(_ context.Context, r userapi.GetRequest) (userapi.User, error) {
		if r.ID == "none" {
			return userapi.User{}, endpoint.NotFound("there is no such user")
		}
		return userapi.User{ID: r.ID}, nil
	}))
	conn := w.dial(t)
	for id, fails := range map[string]bool{"u-ada": false, "none": true} {
		err := conn.Invoke(as(t, ada), userv1connect.UserServiceGetProcedure, &userv1.GetRequest{Id: id}, &userv1.GetResponse{})
		if (err != nil) != fails {
			t.Fatalf("%s: %v", id, err)
		}
	}
	if err := conn.Invoke(as(t, "forged"), userv1connect.UserServiceGetProcedure, &userv1.GetRequest{Id: "u"}, &userv1.GetResponse{}); err == nil {
		t.Error("a forged token is good")
	}
	for path, body := range map[string]string{"/sluice.user.v1.UserService/Secret": `{}`, userv1connect.UserServiceGetProcedure: `{`} {
		req, err := http.NewRequestWithContext(as(t, ""), http.MethodPost, "http://"+w.addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	const get = "sluice.user.v1.UserService/Get"
	want := map[string]uint64{
		"grpc " + get + " OK ": 1, "grpc " + get + " NOT_FOUND NOT_FOUND": 1, "grpc " + get + " UNAUTHENTICATED UNAUTHENTICATED": 1,
		"connectrpc _OTHER  UNREAD": 1, "connectrpc " + get + "  UNREAD": 1,
	}
	w.stop() // so that all have been counted
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]uint64)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			h, ok := m.Data.(metricdata.Histogram[float64])
			if !ok || m.Name != "rpc.server.call.duration" {
				continue
			}
			for _, p := range h.DataPoints {
				var values []string
				for _, key := range []string{"rpc.system.name", "rpc.method", "rpc.response.status_code", "error.type"} {
					v, _ := p.Attributes.Value(attribute.Key(key))
					values = append(values, v.AsString())
				}
				got[strings.Join(values, " ")] = p.Count
			}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
}
