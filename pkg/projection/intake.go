package projection

import (
	"context"
	"errors"
	"strings"
	"time"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// intakeBuffer is how many events are read ahead of the fold.
const intakeBuffer = 1000

// item is one message of the history as the fold gets it.
type item struct {
	sequence uint64
	pending  uint64    // how many more the stream has
	stored   time.Time // when the stream stored it
	event    event.Event
	data     event.Data // nil: to be passed over
	err      error      // why it can't be read
}

// intake decodes and checks messages beside the fold.
type intake struct {
	store  *eventstore.Store
	reader *eventstore.Reader
	types  map[string]bool // those that the fold gets
	items  chan item
}

func newIntake(store *eventstore.Store, types map[string]bool) *intake {
	return &intake{store: store, reader: store.Reader(), types: types, items: make(chan item, intakeBuffer)}
}

// take is the feed's deliver.
func (in *intake) take(ctx context.Context, d delivery) {
	i := item{sequence: d.sequence, pending: d.pending, stored: d.stored}
	if in.types[typeOf(d.Subject)] { // and not a claim, for example
		in.read(ctx, d, &i)
	}
	select {
	case in.items <- i:
	case <-ctx.Done():
	}
}

func (in *intake) read(ctx context.Context, d delivery, i *item) {
	e, err := in.reader.Check(ctx, d.Subject, d.Header, d.Data, d.sequence)
	switch {
	case errors.Is(err, &eventstore.ForeignError{}), eventstore.IsErased(err):
	case err != nil:
		e.Stream, e.Sequence, e.Type = in.store.Stream().Name, d.sequence, typeOf(d.Subject)
		i.event, i.err = e, err
	default:
		i.event = e
		i.data, i.err = in.store.Registry().Decode(e)
	}
}

// typeOf returns the event type that a history subject names.
func typeOf(subject string) string { return subject[:max(strings.LastIndexByte(subject, '.'), 0)] }
