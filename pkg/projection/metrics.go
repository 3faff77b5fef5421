package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// meters are what a runner tells of its model while it runs, each time that metrics
// are collected. The names are for dashboards and stay as they are.
type meters struct {
	position, lag, skipped, rebuildLag metric.Int64ObservableGauge
	waiting, pace, rebuildLeft         metric.Float64ObservableGauge
	following                          metric.Int64ObservableGauge
}

func newMeters(m metric.Meter) (meters, error) {
	var errs []error
	whole := func(name, unit, description string) metric.Int64ObservableGauge {
		g, err := m.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return g
	}
	decimal := func(name, unit, description string) metric.Float64ObservableGauge {
		g, err := m.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return g
	}
	all := meters{
		position:    whole("sluice.projection.position", "{message}", "The last sequence that is folded."),
		lag:         whole("sluice.projection.lag", "{message}", "Messages of the stream that are not folded yet."),
		waiting:     decimal("sluice.projection.lag.time", "s", "How long the first of them has been in the stream."),
		pace:        decimal("sluice.projection.rate", "{event}/s", "Events folded a second by this process."),
		skipped:     whole("sluice.projection.skipped", "{event}", "Events that the model goes without."),
		following:   whole("sluice.projection.following", "1", "1 while the model is followed, 0 while it is parked or fails."),
		rebuildLag:  whole("sluice.projection.rebuild.lag", "{message}", "Messages that the model being rebuilt has not folded yet."),
		rebuildLeft: decimal("sluice.projection.rebuild.time_left", "s", "Until the rebuilt model serves, at its present rate."),
	}
	return all, errors.Join(errs...)
}

// measure lets the model be measured until stop is called. Meters that cannot be made
// are logged: they keep nobody from following.
func (r *Runner) measure() (stop func()) {
	meter := r.cfg.Meters.Meter("sluice/pkg/projection")
	all, err := newMeters(meter)
	var registered metric.Registration
	if err == nil {
		registered, err = meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
			return r.observe(ctx, o, all)
		}, all.position, all.lag, all.waiting, all.pace, all.skipped, all.following, all.rebuildLag, all.rebuildLeft)
	}
	if err != nil {
		r.unmeasured(fmt.Errorf("make the meters: %w", err))
		return func() {}
	}
	return func() {
		if err := registered.Unregister(); err != nil {
			r.unmeasured(fmt.Errorf("give up the meters: %w", err))
		}
	}
}

func (r *Runner) unmeasured(err error) {
	r.cfg.Log.LogAttrs(context.Background(), slog.LevelWarn, "read model is not measured",
		slog.String("model", r.name), slog.Any("error", err))
}

// observePatience is how long collecting may wait for NATS.
const observePatience = time.Second

func (r *Runner) observe(ctx context.Context, o metric.Observer, all meters) error {
	ctx, cancel := context.WithTimeout(ctx, observePatience)
	defer cancel()
	s, err := r.Status(ctx)
	if err != nil {
		return err
	}
	of := metric.WithAttributes(
		attribute.String("sluice.projection.name", s.Name),
		attribute.Int("sluice.projection.version", s.Version),
		attribute.String("messaging.destination.name", s.Stream),
	)
	following := int64(0)
	if s.State == Following {
		following = 1
	}
	o.ObserveInt64(all.following, following, of)
	o.ObserveInt64(all.position, int64(s.Position), of)
	o.ObserveInt64(all.lag, int64(s.Lag.Events), of)
	o.ObserveInt64(all.skipped, int64(s.Skipped.Events), of)
	o.ObserveFloat64(all.waiting, s.Lag.Waiting.Seconds(), of)
	o.ObserveFloat64(all.pace, s.Pace, of)
	if s.Rebuild != nil {
		o.ObserveInt64(all.rebuildLag, int64(s.Rebuild.Lag.Events), of)
		o.ObserveFloat64(all.rebuildLeft, s.Rebuild.Left.Seconds(), of)
	}
	return nil
}
