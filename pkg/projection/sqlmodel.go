package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/eventstore"
)

// sqlPoll is how often a process that stands by looks at the checkpoint, which a
// database does not announce.
const sqlPoll = 50 * time.Millisecond

// sqlModel is a model in tables that follow a stream.
type sqlModel struct {
	*Tables

	store   *eventstore.Store
	history stream
	log     *slog.Logger
}

// check makes the table of checkpoints where there is none. Of two that make it at
// once, one may be told that it is there.
func (m *sqlModel) check(ctx context.Context) error {
	_, err := m.db.ExecContext(ctx, createCheckpoints)
	if err == nil {
		return nil
	}
	if _, readable := m.checkpoint(ctx); readable == nil {
		return nil
	}
	return fmt.Errorf("make the table of checkpoints: %w", err)
}

// orphaned reports whether something lies where the tables are to be made, which then
// is refused twice.
func (m *sqlModel) orphaned(ctx context.Context) (bool, error) {
	for range 2 {
		tx, failed := m.create(ctx)
		if failed == nil {
			return false, rollback(tx)
		}
		at, err := m.checkpoint(ctx)
		switch _, refused := errors.AsType[*tablesError](failed); {
		case err != nil:
			return false, errors.Join(err, failed)
		case !at.absent():
			return false, nil // another process has just made them
		case !refused:
			return false, failed
		}
	}
	return true, nil
}

// open makes the tables and the first checkpoint where there are none. Of two that do
// it at once, one fails and goes on from what the other made.
func (m *sqlModel) open(ctx context.Context, at checkpoint, _ source) (writer, error) {
	if !at.absent() {
		return newSQLWriter(m, at), nil
	}
	tx, failed := m.create(ctx)
	if failed == nil {
		failed = tx.Commit()
	}
	at, err := m.checkpoint(ctx)
	if err == nil && at.absent() {
		err = failed
	}
	if err != nil {
		return nil, fmt.Errorf("begin read model %s: %w", m.schema.Model, err)
	}
	return newSQLWriter(m, at), nil
}

// drop removes the tables and the checkpoint, so that the model begins anew. Readers
// wait from now on until it has what the stream has now.
func (m *sqlModel) drop(ctx context.Context) error {
	if len(m.schema.Drop) == 0 {
		return errors.ErrUnsupported
	}
	end, err := m.history.last(ctx, ">", leader)
	if err != nil {
		return err
	}
	tx, err := m.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	for _, statement := range m.schema.Drop {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return errors.Join(fmt.Errorf("drop the tables: %w", err), rollback(tx))
		}
	}
	if _, err := tx.ExecContext(ctx, deleteCheckpoint, m.schema.Model); err != nil {
		return errors.Join(fmt.Errorf("delete the checkpoint: %w", err), rollback(tx))
	}
	m.complete.Store(end.sequence)
	m.progress.reach(0)
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// watch looks at the checkpoint until stop is called.
func (m *sqlModel) watch(ctx context.Context, moved func(uint64), lost func(error)) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		ticker := time.NewTicker(sqlPoll)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			at, err := m.checkpoint(ctx)
			if err == nil {
				moved(at.Sequence)
			} else if !errors.Is(err, ErrCheckpoint) {
				lost(err)
				return
			}
		}
	})
	return func() {
		cancel()
		watching.Wait()
	}, nil
}

// connections are none that NATS knows of.
func (m *sqlModel) connections() []*nats.Conn { return nil }
