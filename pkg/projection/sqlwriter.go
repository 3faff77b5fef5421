package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"sluice/pkg/event"
)

// sqlBatch bounds the events of one transaction, which are kept until it is committed.
const sqlBatch = 1000

// tellEvery is how often the log hears of a model that is being built.
const tellEvery = 5 * time.Second

// folded is an event that a transaction has taken in.
type folded struct {
	event event.Event
	data  event.Data
}

// sqlWriter folds into tables. A step is one transaction, which seal commits.
type sqlWriter struct {
	model *sqlModel
	at    checkpoint
	tx    *sql.Tx   // of the open step; nil until it has an event
	held  []folded  // what tx has taken in
	told  time.Time // when the log heard last
}

func newSQLWriter(m *sqlModel, at checkpoint) *sqlWriter {
	return &sqlWriter{model: m, at: at, told: time.Now()}
}

func (w *sqlWriter) fold(ctx context.Context, e event.Event, data event.Data) (taken bool, err error) {
	if len(w.held) >= sqlBatch {
		return false, nil
	}
	if err := w.begin(ctx); err != nil {
		return false, err
	}
	why := w.apply(ctx, e, data)
	if why != nil {
		why, err = w.again(ctx, e, data)
	}
	switch {
	case err != nil:
		return false, err
	case why != nil && ctx.Err() != nil:
		return false, why
	case why != nil:
		return false, &poisonError{why}
	}
	w.held = append(w.held, folded{e, data})
	return true, nil
}

// again gives an event whose fold failed a second chance, in a new transaction with
// all that the old one held: when those go well and it fails once more, the failure
// is taken for the event's own, and the step is left as it was before.
func (w *sqlWriter) again(ctx context.Context, e event.Event, data event.Data) (why, err error) {
	if err := w.restart(ctx); err != nil {
		return nil, err
	}
	if why = w.apply(ctx, e, data); why == nil {
		return nil, nil
	}
	return why, w.restart(ctx)
}

// restart begins a new transaction with the events of the open one.
func (w *sqlWriter) restart(ctx context.Context) error {
	held := w.held
	if err := w.abandon(); err != nil {
		return err
	}
	if err := w.begin(ctx); err != nil {
		return err
	}
	for _, f := range held {
		if err := w.apply(ctx, f.event, f.data); err != nil {
			return fmt.Errorf("fold %s at %d again: %w", f.event.Type, f.event.Sequence, err)
		}
	}
	w.held = held
	return nil
}

// apply runs the fold, whose panics are errors.
func (w *sqlWriter) apply(ctx context.Context, e event.Event, data event.Data) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	return w.model.fold(ctx, w.tx, e, data)
}

// begin starts the transaction of the open step, unless it has one. It locks the row
// of the checkpoint before anything is read, so that of two writers one waits here and
// then finds that the other has been there.
func (w *sqlWriter) begin(ctx context.Context) error {
	if w.tx != nil {
		return nil
	}
	tx, err := w.model.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	w.tx = tx
	if err := w.move(ctx, w.at); err != nil {
		return errors.Join(err, w.abandon())
	}
	return nil
}

// seal stores the step: after an error nobody knows whether it is, and the next
// session looks.
func (w *sqlWriter) seal(ctx context.Context, next checkpoint) error {
	if err := w.begin(ctx); err != nil {
		return err
	}
	if err := w.move(ctx, next); err != nil {
		return err
	}
	tx := w.tx
	w.tx, w.held = nil, nil
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	next.revision = revision(next.Sequence)
	w.tell(ctx, next.Sequence)
	w.at = next
	return nil
}

// tell writes to the log how far a model is that is being built, and that it is built.
func (w *sqlWriter) tell(ctx context.Context, sequence uint64) {
	complete := w.model.complete.Load()
	if w.at.Sequence >= complete {
		return
	}
	attrs := []slog.Attr{
		slog.String("read_model", w.model.schema.Model), slog.String("stream", w.at.Stream),
		slog.Uint64("sequence", sequence), slog.Uint64("of", complete),
	}
	switch {
	case sequence >= complete:
		w.model.log.LogAttrs(ctx, slog.LevelInfo, "read model is built", attrs...)
	case time.Since(w.told) >= tellEvery:
		w.told = time.Now()
		w.model.log.LogAttrs(ctx, slog.LevelInfo, "read model is being built", attrs...)
	}
}

// store has nothing left to do.
func (w *sqlWriter) store(context.Context) error { return nil }

func (w *sqlWriter) stored() checkpoint { return w.at }

func (w *sqlWriter) close() { _ = w.abandon() } // the database ends what it can't roll back

// abandon gives up the transaction, if there is one.
func (w *sqlWriter) abandon() error {
	if w.tx == nil {
		return nil
	}
	tx := w.tx
	w.tx, w.held = nil, nil
	return rollback(tx)
}

// move writes the checkpoint, where the one that the step follows is still there.
func (w *sqlWriter) move(ctx context.Context, next checkpoint) error {
	moved, err := w.model.move(ctx, w.tx, w.at, next)
	if err == nil && !moved {
		err = &refusedError{at: w.at, err: errors.New("another process has moved the checkpoint")}
	}
	return err
}

// rollback gives up a transaction; one that has ended is fine.
func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}
