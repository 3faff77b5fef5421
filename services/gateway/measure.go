package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// failedAborted is the error.type of an answer that was broken off.
const failedAborted = "aborted"

// otherMethod is what OpenTelemetry calls a method that nobody knows.
const otherMethod = "_OTHER"

// httpKind is what requests have in common that are measured together.
type httpKind struct {
	method, scheme, route string
	status                int
	failure               string
}

// kind returns what a request is that has been answered. What the client made up, a
// method or a path, is not in it.
func (w *recorder) kind(req *http.Request, aborted bool) httpKind {
	k := httpKind{method: knownMethod(req.Method), scheme: scheme(req), status: w.status}
	if req.Pattern != "" {
		k.route = req.Pattern[strings.IndexByte(req.Pattern, '/'):]
	}
	switch {
	case aborted:
		k.failure = failedAborted
	case w.status >= http.StatusInternalServerError:
		k.failure = strconv.Itoa(w.status)
	}
	return k
}

func knownMethod(m string) string {
	if known := method(m); known == m {
		return m
	}
	return otherMethod
}

func scheme(req *http.Request) string {
	if req.TLS != nil {
		return "https"
	}
	return "http"
}

// attributes are those of a span and of what is measured.
func (k httpKind) attributes() []attribute.KeyValue {
	of := []attribute.KeyValue{
		attribute.String("http.request.method", k.method), attribute.String("url.scheme", k.scheme),
		attribute.Int("http.response.status_code", k.status),
	}
	if k.route != "" {
		of = append(of, attribute.String("http.route", k.route))
	}
	if k.failure != "" {
		of = append(of, attribute.String("error.type", k.failure))
	}
	return of
}

// meters are what the gateway tells of its requests. The names are in the documentation of
// package telemetry, and stay as they are.
type meters struct {
	meter    metric.Meter
	duration metric.Float64Histogram
	active   metric.Int64UpDownCounter
	streams  metric.Int64ObservableGauge

	mu     sync.RWMutex
	kinds  map[httpKind][]metric.RecordOption
	begins map[httpKind][]metric.AddOption // of those that are not answered yet
}

// newMeters makes them. What cannot be made measures nothing, and OpenTelemetry's own log
// says so.
func newMeters(provider metric.MeterProvider) *meters {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	m := &meters{
		meter: provider.Meter("sluice/services/gateway"),
		kinds: make(map[httpKind][]metric.RecordOption), begins: make(map[httpKind][]metric.AddOption),
	}
	var errs [3]error
	m.duration, errs[0] = m.meter.Float64Histogram("http.server.request.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from a request to the end of its answer."),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10))
	m.active, errs[1] = m.meter.Int64UpDownCounter("http.server.active_requests", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that are not answered to the end."))
	m.streams, errs[2] = m.meter.Int64ObservableGauge("sluice.http.event_streams", metric.WithUnit("{stream}"),
		metric.WithDescription("Streams of events that are open."))
	if err := errors.Join(errs[:]...); err != nil {
		otel.Handle(err)
	}
	return m
}

// begun counts a request in, and returns what counts it out.
func (m *meters) begun(ctx context.Context, req *http.Request) (done func()) {
	with := cached(m, m.begins, httpKind{method: knownMethod(req.Method), scheme: scheme(req)}, func(k httpKind) []metric.AddOption {
		return []metric.AddOption{metric.WithAttributes(attribute.String("http.request.method", k.method), attribute.String("url.scheme", k.scheme))}
	})
	m.active.Add(ctx, 1, with...)
	return func() { m.active.Add(ctx, -1, with...) }
}

// answered tells how long a request took.
func (m *meters) answered(ctx context.Context, k httpKind, took time.Duration) {
	m.duration.Record(ctx, took.Seconds(), cached(m, m.kinds, k, func(k httpKind) []metric.RecordOption {
		return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(k.attributes()...))}
	})...)
}

// cached makes the options of a kind once.
func cached[O any](m *meters, all map[httpKind]O, k httpKind, made func(httpKind) O) O {
	m.mu.RLock()
	with, known := all[k]
	m.mu.RUnlock()
	if known {
		return with
	}
	with = made(k)
	m.mu.Lock()
	defer m.mu.Unlock()
	all[k] = with
	return with
}

// measureStreams tells how many streams are open until stop is called.
func (g *Gateway) measureStreams() (stop func() error, err error) {
	if g.live == nil {
		return func() error { return nil }, nil
	}
	registered, err := g.meters.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(g.meters.streams, int64(g.live.Open()))
		return nil
	}, g.meters.streams)
	if err != nil {
		return nil, err
	}
	return registered.Unregister, nil
}

// asServer marks the spans of requests.
var asServer = trace.WithSpanKind(trace.SpanKindServer)

// describe names the span of an answered request. It has the route and, against the
// conventions of OpenTelemetry, not url.path: what clients put into a path may be anything,
// and a secret by mistake.
func describe(span trace.Span, k httpKind) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(k.attributes()...)
	if k.failure != "" {
		span.SetStatus(codes.Error, k.failure)
	}
	if !strings.HasSuffix(k.route, "/") { // else it is a call, which has its own name
		span.SetName(spanName(k.method, k.route))
	}
}

func spanName(method, route string) string {
	if method == otherMethod {
		method = "HTTP"
	}
	return strings.TrimSuffix(method+" "+route, " ")
}
