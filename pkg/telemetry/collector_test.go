package telemetry_test

import (
	"compress/gzip"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// collector takes OTLP as a real one does, over HTTP or gRPC.
type collector struct {
	coltrace.UnimplementedTraceServiceServer
	colmetrics.UnimplementedMetricsServiceServer
	collogs.UnimplementedLogsServiceServer

	mu       sync.Mutex
	changed  chan struct{}
	refusing bool
	spans    []span
	metrics  map[string]found
	logs     []record
}

type span struct {
	name, kind, traceID, id, parent string
	resource, attributes            map[string]string
	links                           []string
	status                          string
}

type found struct {
	unit     string
	resource map[string]string
}

type record struct {
	body, severity, traceID string
	attributes, resource    map[string]string
}

func newCollector() *collector {
	return &collector{changed: make(chan struct{}), metrics: make(map[string]found)}
}

func (c *collector) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// has reports, of what has arrived, whether it is as f says.
func (c *collector) has(f func() bool) func() bool {
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return f()
	}
}

func (c *collector) update(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *collector) traces(in *coltrace.ExportTraceServiceRequest) {
	c.update(func() {
		for _, r := range in.ResourceSpans {
			for _, scope := range r.ScopeSpans {
				for _, s := range scope.Spans {
					got := span{
						name: s.Name, kind: s.Kind.String(), traceID: hex(s.TraceId), id: hex(s.SpanId), parent: hex(s.ParentSpanId),
						resource: texts(r.Resource.Attributes), attributes: texts(s.Attributes), status: s.Status.GetMessage(),
					}
					for _, l := range s.Links {
						got.links = append(got.links, hex(l.SpanId))
					}
					c.spans = append(c.spans, got)
				}
			}
		}
	})
}

func (c *collector) measured(in *colmetrics.ExportMetricsServiceRequest) {
	c.update(func() {
		for _, r := range in.ResourceMetrics {
			for _, scope := range r.ScopeMetrics {
				for _, m := range scope.Metrics {
					c.metrics[m.Name] = found{m.Unit, texts(r.Resource.Attributes)}
				}
			}
		}
	})
}

func (c *collector) logged(in *collogs.ExportLogsServiceRequest) {
	c.update(func() {
		for _, r := range in.ResourceLogs {
			for _, scope := range r.ScopeLogs {
				for _, l := range scope.LogRecords {
					c.logs = append(c.logs, record{
						l.Body.GetStringValue(), l.SeverityText, hex(l.TraceId), texts(l.Attributes), texts(r.Resource.Attributes),
					})
				}
			}
		}
	})
}

// ServeHTTP is OTLP over HTTP.
func (c *collector) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	c.mu.Lock()
	refusing := c.refusing
	c.mu.Unlock()
	if refusing {
		http.Error(w, "not today", http.StatusForbidden)
		return
	}
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	data, err := io.ReadAll(body)
	if err == nil {
		err = c.take(req.URL.Path, data)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *collector) take(path string, data []byte) error {
	switch path {
	case "/v1/traces":
		var in coltrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(data, &in); err != nil {
			return err
		}
		c.traces(&in)
	case "/v1/metrics":
		var in colmetrics.ExportMetricsServiceRequest
		if err := proto.Unmarshal(data, &in); err != nil {
			return err
		}
		c.measured(&in)
	case "/v1/logs":
		var in collogs.ExportLogsServiceRequest
		if err := proto.Unmarshal(data, &in); err != nil {
			return err
		}
		c.logged(&in)
	}
	return nil
}

// overHTTP returns where the collector listens.
func (c *collector) overHTTP(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	return srv.URL
}

type (
	traceService  struct{ *collector }
	metricService struct{ *collector }
	logService    struct{ *collector }
)

func (s traceService) Export(_ context.Context, in *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	s.traces(in)
	return &coltrace.ExportTraceServiceResponse{}, nil
}

func (s metricService) Export(_ context.Context, in *colmetrics.ExportMetricsServiceRequest) (*colmetrics.ExportMetricsServiceResponse, error) {
	s.measured(in)
	return &colmetrics.ExportMetricsServiceResponse{}, nil
}

func (s logService) Export(_ context.Context, in *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	s.logged(in)
	return &collogs.ExportLogsServiceResponse{}, nil
}

// overGRPC returns where the collector listens.
func (c *collector) overGRPC(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	coltrace.RegisterTraceServiceServer(srv, traceService{c})
	colmetrics.RegisterMetricsServiceServer(srv, metricService{c})
	collogs.RegisterLogsServiceServer(srv, logService{c})
	done := make(chan error, 1)
	go func() { done <- srv.Serve(listener) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

func hex(b []byte) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 2*len(b))
	for _, x := range b {
		out = append(out, digits[x>>4], digits[x&15])
	}
	return string(out)
}

// texts returns attributes that are text.
func texts(list []*common.KeyValue) map[string]string {
	all := make(map[string]string, len(list))
	for _, kv := range list {
		all[kv.Key] = kv.Value.GetStringValue()
	}
	return all
}

// named returns the spans with a name, in the order in which they came.
func (c *collector) named(name string) []span {
	return slices.DeleteFunc(slices.Clone(c.spans), func(s span) bool { return s.name != name })
}

func (c *collector) metricNames() []string { return slices.Sorted(maps.Keys(c.metrics)) }
