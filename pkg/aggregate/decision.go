package aggregate

import (
	"context"
	"fmt"
	"slices"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// decision is what a command leads to on one state.
type decision struct {
	data   []event.Data
	events []event.Event // of data
	claims []eventstore.Claim
}

// decide runs the rules of c on r. The zero decision is for nothing. The error is a
// refusal, and like any other it counts only on the latest state.
func (a *Aggregates[S]) decide(ctx context.Context, c Command[S], r *root[S]) (d decision, err error) {
	if d.data, err = c.decide(r.state); err != nil || len(d.data) == 0 {
		return decision{}, err
	}
	if d.events, err = a.events(ctx, c, d.data); err != nil {
		return decision{}, err
	}
	if d.claims, err = c.claims(r.state); err != nil {
		return decision{}, err
	}
	if err = a.rehearse(r, d); err != nil {
		return decision{}, err
	}
	return d, nil
}

func (c Command[S]) decide(state S) (data []event.Data, err error) {
	defer rescue("decide", &err)
	return c.Decide(state)
}

func (c Command[S]) claims(state S) (claims []eventstore.Claim, err error) {
	if c.ClaimsOn == nil {
		return c.Claims, nil
	}
	defer rescue("claims", &err)
	return append(slices.Clip(c.Claims), c.ClaimsOn(state)...), nil
}

// events builds the events of a decision.
func (a *Aggregates[S]) events(ctx context.Context, c Command[S], data []event.Data) (events []event.Event, err error) {
	defer rescue("data", &err)
	if c.Origin != nil && len(data) != 1 {
		return nil, fmt.Errorf("%w: an event from outside led to %d events, not one", event.ErrInvalid, len(data))
	}
	events = make([]event.Event, len(data))
	for i, d := range data {
		if d == nil {
			return nil, fmt.Errorf("%w: event %d of the decision has none", event.ErrData, i+1)
		}
		e, err := a.store.Registry().New(ctx, c.ID, d)
		if err != nil {
			return nil, err
		}
		if c.Origin != nil {
			e.ID, e.Source, e.Extensions = c.Origin.ID, c.Origin.Source, c.Origin.Extensions
			if !c.Origin.Time.IsZero() {
				e.Time = c.Origin.Time
			}
		}
		events[i] = e
	}
	return events, nil
}

// rehearse folds a decision before it is stored: an event that apply panics on would
// keep the aggregate from ever being loaded again.
func (a *Aggregates[S]) rehearse(r *root[S], d decision) error {
	var err error
	state := r.state
	for i, e := range d.events {
		e.Version, e.Step = r.tail.Version+uint64(i)+1, i+1
		if state, err = a.fold(state, e, d.data[i]); err != nil {
			return err
		}
	}
	return nil
}
