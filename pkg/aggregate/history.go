package aggregate

import (
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// history is one aggregate as far as a command has read it.
type history[S any] struct {
	apply  func(S, event.Event, event.Data) S
	events []eventstore.Recorded
	state  S
	tail   eventstore.Tail
}

// add folds events, which end at tail, into the state.
func (h *history[S]) add(events []eventstore.Recorded, tail eventstore.Tail) {
	for _, e := range events {
		h.state = h.apply(h.state, e.Event, e.Data)
	}
	h.events = append(h.events, events...)
	h.tail = tail
}

func (h *history[S]) result() Result[S] {
	return Result[S]{State: h.state, Version: h.tail.Version, Position: h.tail.Sequence}
}

// repeated looks for the events that the same command, or the same event from
// outside, led to before. When they are there it returns the state as of the last
// of them.
func (h *history[S]) repeated(m event.Metadata, origin *event.Event) (Result[S], bool, error) {
	if !m.Keyed && origin == nil {
		return Result[S]{}, false, nil
	}
	var (
		state S
		found *Result[S]
	)
	for _, e := range h.events {
		state = h.apply(state, e.Event, e.Data)
		switch {
		case origin != nil:
			if e.ID != origin.ID || e.Source != origin.Source {
				continue
			}
		case e.CausationID != m.CausationID:
			continue
		case e.Fingerprint != m.Fingerprint:
			return Result[S]{}, false, ErrKeyReused
		}
		found = &Result[S]{State: state, Version: e.Version, Position: e.Sequence, Repeated: true}
	}
	if found == nil {
		return Result[S]{}, false, nil
	}
	return *found, true, nil
}
