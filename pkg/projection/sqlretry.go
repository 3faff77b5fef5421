package projection

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/eventstore"
)

// retrier is a model in a place whose troubles may look like an event's: what parks it
// is tried again.
type retrier interface {
	// foldable reports whether the event at sequence, which parked the model, can be
	// folded now.
	foldable(ctx context.Context, sequence uint64) (bool, error)
}

// foldable reports whether the event that a model is parked before can be folded now:
// what seemed to be the event's fault may have been the database's. It stores nothing.
func (m *sqlModel) foldable(ctx context.Context, sequence uint64) (bool, error) {
	at, err := m.checkpoint(ctx)
	if err != nil {
		return false, err
	}
	history, err := m.history.js.Stream(ctx, m.history.name)
	if err != nil {
		return false, fmt.Errorf("look at stream %s: %w", m.history.name, err)
	}
	msg, err := history.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return true, nil // it was erased
	}
	if err != nil {
		return false, fmt.Errorf("read %s=%d: %w", m.history.name, sequence, err)
	}
	e, err := m.store.Reader().Check(ctx, msg.Subject, msg.Header, msg.Data, msg.Sequence)
	if err != nil {
		return eventstore.IsErased(err), nil // it is parked for that reason
	}
	e.Stream, e.Sequence = m.history.name, msg.Sequence
	data, err := m.store.Registry().Decode(e)
	if err != nil {
		return false, nil // it is parked for that reason
	}
	w := newSQLWriter(m, at)
	defer w.close()
	_, err = w.fold(ctx, e, data)
	if _, poison := errors.AsType[*poisonError](err); poison {
		return false, nil
	}
	return err == nil, err
}
