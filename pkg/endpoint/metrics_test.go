package endpoint_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
	"sluice/pkg/telemetry"
)

// TestMetrics: calls and requests are told apart by endpoint and by how they ended, and
// those that wait, run or are turned away are counted, on both sides.
func TestMetrics(t *testing.T) {
	t.Parallel()
	srv, reader := natstest.Start(t), metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	entered, leave := make(chan string), make(chan struct{})
	server := serveOn(t, srv, new(logs), endpoint.ServiceConfig{Concurrency: 1, Queue: 1, Meters: provider},
		func(ctx context.Context, r createRequest) (order, error) {
			switch r.UserID {
			case "slow":
				entered <- r.UserID
				<-leave
			case "gone":
				entered <- r.UserID
				<-ctx.Done()
				<-leave // until the caller knows
			case "missing":
				return order{}, endpoint.NotFound("no such user")
			case "broken":
				return order{}, errors.New("oops")
			}
			return order{ID: "o-1"}, nil
		})
	caller := endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{Meters: provider})
	ctx := telemetry.WithService(t.Context(), "shop")
	call := func(ctx context.Context, user string) error {
		r := good()
		r.UserID = user
		_, err := endpoint.Call(ctx, caller, create, r)
		return err
	}
	for user, want := range map[string]endpoint.Code{
		"u-1": "", "nobody": endpoint.CodeInvalid, "missing": endpoint.CodeNotFound, "broken": endpoint.CodeInternal,
	} {
		if err := call(ctx, user); endpoint.CodeOf(err) != want {
			t.Errorf("%s: %v", user, err)
		}
	}

	slow, queued := make(chan error, 1), make(chan error, 1)
	go func() { slow <- call(ctx, "slow") }()
	<-entered
	go func() { queued <- call(ctx, "u-2") }()
	for told(t, reader)["sluice.endpoint.queued svc.order.create"] != 1 {
	}
	if err := call(ctx, "u-3"); !errors.Is(err, endpoint.ErrNotTaken) {
		t.Errorf("one too many: %v", err)
	}
	during := told(t, reader)
	leave <- struct{}{}
	if err := errors.Join(<-slow, <-queued); err != nil {
		t.Fatal(err)
	}

	leaving, cancel := context.WithCancel(ctx)
	gone := make(chan error, 1)
	go func() { gone <- call(leaving, "gone") }()
	<-entered
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that left: %v", err)
	}
	leave <- struct{}{}
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}

	for name, want := range map[string]int64{
		"sluice.endpoint.running svc.order.create": 1, "sluice.endpoint.queued svc.order.create": 1,
		"sluice.endpoint.refused svc.order.create": 1, "sluice.endpoint.cancelled svc.order.create": 0,
		"sluice.endpoint.running svc.order.health": 0, "sluice.call.running svc.order.create": 2,
	} {
		if got, ok := during[name]; got != want || !ok {
			t.Errorf("%s is %d in the middle, want %d: %v", name, got, want, during)
		}
	}
	const server200, client200 = "rpc.server.call.duration svc.order.create", "rpc.client.call.duration svc.order.create"
	at := told(t, reader)
	want := map[string]int64{
		server200: 3, server200 + " invalid": 1, server200 + " not_found": 1, server200 + " internal": 1, server200 + " cancelled": 1,
		client200: 3, client200 + " invalid": 1, client200 + " not_found": 1, client200 + " internal": 1, client200 + " cancelled": 1,
		client200 + " unavailable": 1, "sluice.call.running svc.order.create": 0,
	}
	if !maps.Equal(at, want) {
		t.Errorf("at the end there are %v, want %v", at, want)
	}
}

// told returns the values that reader finds, and the counts of histograms, by name,
// endpoint and kind of failure.
func told(t *testing.T, reader metric.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	values := make(map[string]int64)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			named := func(set attribute.Set) string {
				of := make(map[string]string)
				for _, kv := range set.ToSlice() {
					of[string(kv.Key)] = kv.Value.AsString()
				}
				caller := ""
				if strings.HasPrefix(m.Name, "rpc.client.") || strings.HasPrefix(m.Name, "sluice.call.") {
					caller = "shop"
				}
				if of["rpc.system.name"] != "nats" || of["sluice.service"] != "order" || of["sluice.caller"] != caller {
					t.Errorf("%s has %v", m.Name, of)
				}
				return strings.TrimRight(m.Name+" "+of["rpc.method"]+" "+of["error.type"], " ")
			}
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					values[named(p.Attributes)] += p.Value
				}
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					values[named(p.Attributes)] += p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					values[named(p.Attributes)] += int64(p.Count)
				}
			}
		}
	}
	return values
}

// TestCallsAreBounded: subjects that somebody makes up are not told apart without end.
func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	srv, reader := natstest.Start(t), metric.NewManualReader()
	caller := endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{Meters: metric.NewMeterProvider(metric.WithReader(reader))})
	const many = 1100
	for n := range many {
		subject := "svc.thing.e" + strings.Repeat("x", n)
		if _, err := caller.Request(t.Context(), subject, nil, nil); !errors.Is(err, endpoint.ErrNoResponders) {
			t.Fatal(err)
		}
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var others uint64
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			h, ok := m.Data.(metricdata.Histogram[float64])
			if !ok {
				continue
			}
			if len(h.DataPoints) > 1001 {
				t.Errorf("%d endpoints are told apart", len(h.DataPoints))
			}
			for _, p := range h.DataPoints {
				if v, _ := p.Attributes.Value("rpc.method"); v.AsString() == "_OTHER" {
					others = p.Count
				}
			}
		}
	}
	if others != many-1000 {
		t.Errorf("%d calls are of others", others)
	}
}
