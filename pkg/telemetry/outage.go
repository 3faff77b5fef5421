package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// outage tells the log when a signal stops to arrive at its collector, and when it
// does so again.
type outage struct {
	signal string
	log    *slog.Logger

	mu    sync.Mutex
	since time.Time // zero: there is none
	lost  int
}

// note takes the result of exporting n items and returns it, marked as told.
func (o *outage) note(ctx context.Context, n int, err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		if !o.since.IsZero() {
			o.log.InfoContext(ctx, "telemetry is exported again", "signal", o.signal, "lost", o.lost, "after", time.Since(o.since))
			o.since, o.lost = time.Time{}, 0
		}
		return nil
	}
	o.lost += n
	if o.since.IsZero() {
		o.since = time.Now()
		o.log.WarnContext(ctx, "telemetry is not exported", "signal", o.signal, "error", err)
	}
	return &toldError{err}
}

// toldError is an error that the log has.
type toldError struct{ err error }

func (e *toldError) Error() string { return e.err.Error() }
func (e *toldError) Unwrap() error { return e.err }

// complaints logs what OpenTelemetry complains about in the background, the same thing
// at most once a minute.
type complaints struct {
	log *slog.Logger

	mu   sync.Mutex
	last string
	at   time.Time
}

// Handle implements [otel.ErrorHandler].
func (c *complaints) Handle(err error) {
	if _, told := errors.AsType[*toldError](err); told {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err.Error() == c.last && time.Since(c.at) < time.Minute {
		return
	}
	c.last, c.at = err.Error(), time.Now()
	c.log.Warn("trouble with telemetry", "error", err)
}

type watchedSpans struct {
	sdktrace.SpanExporter

	outage *outage
}

// ExportSpans implements [sdktrace.SpanExporter].
func (w watchedSpans) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	return w.outage.note(ctx, len(spans), w.SpanExporter.ExportSpans(ctx, spans))
}

type watchedMetrics struct {
	sdkmetric.Exporter

	outage *outage
}

// Export implements [sdkmetric.Exporter].
func (w watchedMetrics) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	return w.outage.note(ctx, 1, w.Exporter.Export(ctx, m))
}

type watchedLogs struct {
	sdklog.Exporter

	outage *outage
}

// Export implements [sdklog.Exporter].
func (w watchedLogs) Export(ctx context.Context, records []sdklog.Record) error {
	return w.outage.note(ctx, len(records), w.Exporter.Export(ctx, records))
}
