package aggregate

import (
	"fmt"
	"slices"
	"time"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// horizon is how long a command is recognised when it comes again.
const horizon = 24 * time.Hour

// root is an aggregate at one version. It is immutable.
type root[S any] struct {
	state S
	tail  eventstore.Tail
	marks []mark // of the events within the horizon, oldest first
}

// mark is what is kept of an event to recognise the command, or the outsider's event,
// that led to it.
type mark struct {
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	CausationID string    `json:"causation_id,omitempty"`
	Fingerprint string    `json:"fingerprint,omitempty"`
	Version     uint64    `json:"version"`
	Sequence    uint64    `json:"sequence"`
	Time        time.Time `json:"time"`
}

// after returns r with events folded in, which end at tail.
func (a *Aggregates[S]) after(r *root[S], events []eventstore.Recorded, tail eventstore.Tail) (*root[S], error) {
	next := &root[S]{state: r.state, tail: tail, marks: slices.Clip(r.marks)}
	for _, e := range events {
		var err error
		if next.state, err = a.fold(next.state, e.Event, e.Data); err != nil {
			return nil, fmt.Errorf("%s %s: version %d: %w", a.store.Stream().Entity, e.Subject, e.Version, err)
		}
		known := e.Time
		if e.Source != a.store.Registry().Source() {
			known = time.Now() // outsiders may say any time
		}
		next.marks = append(next.marks, mark{
			ID: e.ID, Source: e.Source, CausationID: e.CausationID, Fingerprint: e.Fingerprint,
			Version: e.Version, Sequence: e.Sequence, Time: known,
		})
	}
	return next, nil
}

// recent returns the marks that are still within the horizon.
func recent(marks []mark, now time.Time) []mark {
	for i, m := range marks {
		if now.Sub(m.Time) < horizon {
			return marks[i:]
		}
	}
	return nil
}

func (r *root[S]) result() Result[S] {
	return Result[S]{State: r.state, Version: r.tail.Version, Position: r.tail.Sequence}
}

// repeated returns the mark of the last event that the same command, or the same
// event from outside, led to before.
func (r *root[S]) repeated(m event.Metadata, origin *event.Event) (found mark, ok bool, err error) {
	if !m.Keyed && origin == nil {
		return mark{}, false, nil
	}
	for _, known := range slices.Backward(r.marks) {
		switch {
		case origin != nil:
			if known.ID == origin.ID && known.Source == origin.Source {
				return known, true, nil
			}
		case known.CausationID != m.CausationID:
		case known.Fingerprint != m.Fingerprint:
			return mark{}, false, ErrKeyReused
		default:
			return known, true, nil
		}
	}
	return mark{}, false, nil
}
