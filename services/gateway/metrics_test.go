package gateway_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sluice/pkg/endpoint"
	"sluice/services/gateway"
)

func TestMetricsAreForOperators(t *testing.T) {
	t.Parallel()
	w := start(t, gateway.Config{Verify: verify}, echo)
	for authorization, status := range map[string]int{"": 401, "Bearer forged": 401, asCustomer: 403, asOperator: 200, asAdmin: 200} {
		a := w.do(t, "GET", "/metrics", "", "Authorization", authorization)
		if a.status != status || (status == 200) != strings.Contains(a.body, "go_memory_used_bytes") {
			t.Errorf("%q: %d %.200s", authorization, a.status, a.body)
		}
	}
}

// TestRequestsAreMeasured: by method, route and status, and nothing that a client makes up
// is among them.
func TestRequestsAreMeasured(t *testing.T) {
	t.Parallel()
	reader := metric.NewManualReader()
	entered, leave := make(chan struct{}), make(chan struct{})
	w := start(t, gateway.Config{Meters: metric.NewMeterProvider(metric.WithReader(reader))}, func(_ context.Context, r noteRequest) (note, error) {
		switch r.ID {
		case "slow":
			close(entered)
			<-leave
		case "none":
			return note{}, endpoint.NotFound("there is no such note")
		case "ill":
			return note{}, endpoint.Unavailable("not now")
		}
		return note{ID: r.ID}, nil
	})
	for _, ask := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/v1/notes/a", 200},
		{"GET", "/v1/notes/b", 200},
		{"HEAD", "/v1/notes/b", 200},
		{"GET", "/v1/notes/none", 404},
		{"GET", "/v1/notes/ill", 503},
		{"GET", "/v1/secret/4711", 404},
		{"GET", "/v1//notes", 404},
		{"BREW", "/v1/notes/b", 405},
		{"GET", "/healthz", 200},
	} {
		if a := w.do(t, ask.method, ask.path, ""); a.status != ask.status {
			t.Fatalf("%+v: %d %s", ask, a.status, a.body)
		}
	}
	slow := make(chan error, 1)
	go func() {
		_, err := w.try(t.Context(), "GET", "/v1/notes/slow", "")
		slow <- err
	}()
	<-entered
	if during := told(t, reader); during["http.server.active_requests GET http"] != 1 {
		t.Errorf("one request is under way: %v", during)
	}
	close(leave)
	if err := <-slow; err != nil {
		t.Fatal(err)
	}
	const requests = "http.server.request.duration "
	want := map[string]int64{
		requests + "GET 200 /v1/notes/{id} http":     3,
		requests + "HEAD 200 /v1/notes/{id} http":    1,
		requests + "GET 404 /v1/notes/{id} http":     1,
		requests + "503 GET 503 /v1/notes/{id} http": 1,
		requests + "GET 404 http":                    2,
		requests + "_OTHER 405 http":                 1,
		requests + "GET 200 /healthz http":           1,
		"http.server.active_requests GET http":       0,
		"http.server.active_requests HEAD http":      0,
		"http.server.active_requests _OTHER http":    0,
	}
	got := told(t, reader)
	for got["http.server.active_requests GET http"] > 0 { // the last answer is there before it is counted out
		got = told(t, reader)
	}
	if !maps.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
}

// told returns the values that reader finds, and the counts of histograms, by name and
// the values of the attributes in the order of their keys.
func told(t *testing.T, reader metric.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	values := make(map[string]int64)
	named := func(name string, set attribute.Set) string {
		for _, kv := range set.ToSlice() {
			name += " " + fmt.Sprint(kv.Value.AsInterface())
		}
		return name
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					values[named(m.Name, p.Attributes)] += p.Value
				}
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					values[named(m.Name, p.Attributes)] += p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					values[named(m.Name, p.Attributes)] += int64(p.Count)
				}
			}
		}
	}
	return values
}
