// Package telemetrytest is for tests of what leaves a process: a [Collector] takes it as a
// real one does, over HTTP or gRPC, and [Documented] says what it is called.
package telemetrytest

import (
	"compress/gzip"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Collector takes OTLP, and keeps it. It is safe for concurrent use.
type Collector struct {
	coltrace.UnimplementedTraceServiceServer
	colmetrics.UnimplementedMetricsServiceServer
	collogs.UnimplementedLogsServiceServer

	mu       sync.Mutex
	changed  chan struct{}
	refusing bool
	got      Received
}

// Received is what has arrived until now.
type Received struct {
	Spans   []Span
	Metrics map[string]Metric // by name
	Logs    []Record
}

// Span is a span that has ended. Its ids are in hexadecimal.
type Span struct {
	Name, Kind, TraceID, ID, Parent string
	Resource, Attributes            map[string]string
	Links                           []string // the ids of spans
	Failed                          bool     // its status is an error
	Status                          string   // what the status says
}

// Metric is what is said of a metric beside its values.
type Metric struct {
	Unit     string
	Resource map[string]string
}

// Record is a line of a log.
type Record struct {
	Body, Severity, TraceID string
	Attributes, Resource    map[string]string
}

// New returns a collector to which nothing has come.
func New() *Collector {
	return &Collector{changed: make(chan struct{}), got: Received{Metrics: make(map[string]Metric)}}
}

// Changed returns a channel that is closed when something more arrives.
func (c *Collector) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// Received returns what has arrived.
func (c *Collector) Received() Received {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Received{Spans: slices.Clone(c.got.Spans), Metrics: maps.Clone(c.got.Metrics), Logs: slices.Clone(c.got.Logs)}
}

// Has reports, whenever it is called, whether what has arrived is as f says.
func (c *Collector) Has(f func(Received) bool) func() bool {
	return func() bool { return f(c.Received()) }
}

// Refuse makes the collector take nothing, or all again. Over gRPC it takes everything.
func (c *Collector) Refuse(all bool) { c.update(func() { c.refusing = all }) }

func (c *Collector) update(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Collector) traces(in *coltrace.ExportTraceServiceRequest) {
	c.update(func() {
		for _, r := range in.ResourceSpans {
			for _, scope := range r.ScopeSpans {
				for _, s := range scope.Spans {
					got := Span{
						Name: s.Name, Kind: s.Kind.String(), TraceID: hex(s.TraceId), ID: hex(s.SpanId), Parent: hex(s.ParentSpanId),
						Resource: texts(r.Resource.Attributes), Attributes: texts(s.Attributes), Status: s.Status.GetMessage(),
						Failed: s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR,
					}
					for _, l := range s.Links {
						got.Links = append(got.Links, hex(l.SpanId))
					}
					c.got.Spans = append(c.got.Spans, got)
				}
			}
		}
	})
}

func (c *Collector) measured(in *colmetrics.ExportMetricsServiceRequest) {
	c.update(func() {
		for _, r := range in.ResourceMetrics {
			for _, scope := range r.ScopeMetrics {
				for _, m := range scope.Metrics {
					c.got.Metrics[m.Name] = Metric{m.Unit, texts(r.Resource.Attributes)}
				}
			}
		}
	})
}

func (c *Collector) logged(in *collogs.ExportLogsServiceRequest) {
	c.update(func() {
		for _, r := range in.ResourceLogs {
			for _, scope := range r.ScopeLogs {
				for _, l := range scope.LogRecords {
					c.got.Logs = append(c.got.Logs, Record{
						l.Body.GetStringValue(), l.SeverityText, hex(l.TraceId), texts(l.Attributes), texts(r.Resource.Attributes),
					})
				}
			}
		}
	})
}

// ServeHTTP is OTLP over HTTP.
func (c *Collector) ServeHTTP(w http.ResponseWriter, req *http.Request) {
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

func (c *Collector) take(path string, data []byte) error {
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

// OverHTTP returns where the collector listens until the test ends.
func (c *Collector) OverHTTP(t testing.TB) string {
	t.Helper()
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	return srv.URL
}

type (
	traceService  struct{ *Collector }
	metricService struct{ *Collector }
	logService    struct{ *Collector }
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

// OverGRPC returns where the collector listens until the test ends.
func (c *Collector) OverGRPC(t testing.TB) string {
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

// texts returns attributes as texts.
func texts(list []*common.KeyValue) map[string]string {
	all := make(map[string]string, len(list))
	for _, kv := range list {
		switch v := kv.Value.GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[kv.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			all[kv.Key] = strconv.FormatInt(v.IntValue, 10)
		default:
			all[kv.Key] = ""
		}
	}
	return all
}

// Named returns the spans with a name, in the order in which they came.
func (r Received) Named(name string) []Span {
	return slices.DeleteFunc(slices.Clone(r.Spans), func(s Span) bool { return s.Name != name })
}

// MetricNames returns the names of all metrics, sorted.
func (r Received) MetricNames() []string { return slices.Sorted(maps.Keys(r.Metrics)) }
