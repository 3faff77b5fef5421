package endpoint

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// cancelled is the error.type of a request whose caller has gone. Nobody gets it as a code.
const cancelled Code = "cancelled"

// failures are what error.type may be, and nothing for success. A code that a service
// elsewhere makes up is internal: see [CodeOf].
var failures = [...]Code{
	"", CodeInvalid, CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeConflict,
	CodeRateLimited, CodeInternal, CodeUnavailable, CodeDeadline, cancelled,
}

// durations are the boundaries for what takes from a tenth of a millisecond to seconds.
func durations() metric.HistogramOption {
	return metric.WithExplicitBucketBoundaries(.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)
}

// attributesOf are those of an endpoint, on its spans and in what is measured of it.
func attributesOf(service, subject string) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("rpc.system.name", "nats"), attribute.String("rpc.method", subject), attribute.String("sluice.service", service),
	}
}

// outcomes are the attributes of one endpoint with each way to end.
type outcomes map[Code][]metric.RecordOption

func outcomesOf(of []attribute.KeyValue) outcomes {
	all := make(outcomes, len(failures))
	for _, code := range failures {
		with := append(make([]attribute.KeyValue, 0, len(of)+1), of...)
		if code != "" {
			with = append(with, attribute.String("error.type", string(code)))
		}
		all[code] = []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(with...))}
	}
	return all
}

// meters are what a server tells of its endpoints. The names are in the documentation of
// package telemetry, and stay as they are. Of requests under way and those that never
// ran it tells when somebody collects, so that nobody pays for them.
type meters struct {
	meter              metric.Meter
	duration           metric.Float64Histogram
	running, queued    metric.Int64ObservableGauge
	refused, cancelled metric.Int64ObservableCounter
}

// newMeters makes those of a server. What cannot be made measures nothing, and
// OpenTelemetry's own log says so.
func newMeters(provider metric.MeterProvider) meters {
	m := meters{meter: provider.Meter("sluice/pkg/endpoint")}
	var errs [5]error
	m.duration, errs[0] = m.meter.Float64Histogram("rpc.server.call.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from the arrival of a request to its answer."), durations())
	m.running, errs[1] = m.meter.Int64ObservableGauge("sluice.endpoint.running", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that are carried out."))
	m.queued, errs[2] = m.meter.Int64ObservableGauge("sluice.endpoint.queued", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that wait for their turn."))
	m.refused, errs[3] = m.meter.Int64ObservableCounter("sluice.endpoint.refused", metric.WithUnit("{request}"),
		metric.WithDescription("Requests turned away because too many were waiting."))
	m.cancelled, errs[4] = m.meter.Int64ObservableCounter("sluice.endpoint.cancelled", metric.WithUnit("{request}"),
		metric.WithDescription("Requests not answered because their caller had gone."))
	if err := errors.Join(errs[:]...); err != nil {
		otel.Handle(err)
	}
	return m
}

// measure lets the endpoints be measured until stop is called.
func (s *Server) measure() (stop func()) {
	m := &s.meters
	registered, err := m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, l := range s.lanes {
			running, queued := l.occupied()
			o.ObserveInt64(m.running, int64(running), l.observed)
			o.ObserveInt64(m.queued, int64(queued), l.observed)
			o.ObserveInt64(m.refused, l.stats.refused.Load(), l.observed)
			o.ObserveInt64(m.cancelled, l.stats.cancelled.Load(), l.observed)
		}
		return nil
	}, m.running, m.queued, m.refused, m.cancelled)
	if err != nil {
		s.cfg.Log.WarnContext(s.base, "endpoints are not measured", "error", err)
		return func() {}
	}
	return func() {
		if err := registered.Unregister(); err != nil {
			s.cfg.Log.WarnContext(s.base, "endpoints are measured no longer than they are served", "error", err)
		}
	}
}

// answered tells how long a request took that ended with code.
func (m *meters) answered(ctx context.Context, l *lane, took time.Duration, code Code) {
	m.duration.Record(ctx, took.Seconds(), l.outcomes[code]...)
}
