package registry

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/aggregate"
	"sluice/pkg/event"
	"sluice/pkg/projection"
	"sluice/services/registry/registryapi"
)

// alarm raises and resolves alerts. It looks again and again at what operators should
// know of; what has been over its limit for a while is an event, and so is its end. Who
// leads does, and what is raised stands in the history, so another leader does not
// repeat it.
type alarm struct {
	nc       *nats.Conn
	alerts   *aggregate.Aggregates[registryapi.Alert]
	raised   *projection.View[registryapi.Alert]
	watchers []watcher
	every    time.Duration
	after    time.Duration
	log      *slog.Logger
}

// watcher looks at topics of one kind. What it cannot see it leaves out and returns an
// error: then what it has found counts, and the rest of its kind is unknown.
type watcher interface {
	kind() registryapi.AlertKind
	look(ctx context.Context, found map[topic]finding) error
}

// lookTime bounds one look at everything.
const lookTime = 20 * time.Second

// lead looks until ctx ends.
func (a alarm) lead(ctx context.Context) {
	v, troubled, failing := make(vigil), make(map[registryapi.AlertKind]bool), false
	for {
		err := a.round(ctx, v, troubled)
		if err != nil && !failing && ctx.Err() == nil {
			a.log.WarnContext(ctx, "alerts cannot be told", "error", err)
		}
		failing = err != nil
		if !pause(ctx, a.every) {
			return
		}
	}
}

// round looks at everything once and records what is news. What could not be recorded is
// news again in the next round.
func (a alarm) round(ctx context.Context, v vigil, troubled map[registryapi.AlertKind]bool) error {
	raised, err := listAlerts(ctx, a.raised)
	if err != nil {
		clear(v)
		return err
	}
	topics := make([]topic, len(raised))
	for n, alert := range raised {
		topics[n] = topic{alert.Kind, alert.Subject}
	}
	var errs []error
	for _, verdict := range v.take(a.survey(ctx, troubled), topics, time.Now().UTC(), a.after) {
		errs = append(errs, a.record(ctx, verdict))
	}
	return errors.Join(errs...)
}

// survey asks every watcher. What happens without a connection to NATS, or while it was
// lost, is no word on anything. That a kind cannot be seen is logged when it begins.
func (a alarm) survey(ctx context.Context, troubled map[registryapi.AlertKind]bool) survey {
	s := newSurvey()
	if !a.nc.IsConnected() {
		return a.blind()
	}
	before := a.nc.Stats().Reconnects
	looking, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	for _, w := range a.watchers {
		err := w.look(looking, s.found)
		if err != nil && !troubled[w.kind()] && ctx.Err() == nil {
			a.log.WarnContext(ctx, "what alerts are made of cannot be seen", "kind", w.kind(), "error", err)
		}
		troubled[w.kind()] = err != nil
		s.unclear[w.kind()] = err != nil
	}
	if !a.nc.IsConnected() || a.nc.Stats().Reconnects != before {
		return a.blind()
	}
	return s
}

// blind is the survey that knows nothing.
func (a alarm) blind() survey {
	s := newSurvey()
	for _, w := range a.watchers {
		s.unclear[w.kind()] = true
	}
	return s
}

// record appends what is news. The read model may have been behind, so that is decided by
// the history.
func (a alarm) record(ctx context.Context, v alertVerdict) error {
	ctx = event.WithMetadata(ctx, event.Metadata{CorrelationID: event.NewID()})
	result, err := a.alerts.Do(ctx, aggregate.Command[registryapi.Alert]{
		ID:     v.id(),
		Decide: func(now registryapi.Alert) ([]event.Data, error) { return v.decide(now, time.Now().UTC()), nil },
	})
	if err != nil {
		return err
	}
	for _, e := range result.Events {
		a.log.WarnContext(ctx, "alert", "event", e.Type, "kind", v.kind, "subject", v.subject, "reason", v.reason)
	}
	return nil
}
