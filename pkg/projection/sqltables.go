package projection

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// Schema is what a model keeps in a database.
type Schema struct {
	// Model names the model's checkpoint, a row of projection_checkpoints, and its
	// version: "order_search_v1". A fold or tables that change take the next version,
	// in the name and in the names of the tables, and are built from the stream beside
	// the old ones, which serve old releases until somebody drops them.
	Model string
	// Create are the statements that make the model's tables and indexes. They run
	// once, in one transaction with the first checkpoint. They must fail when something
	// is there already: tables without a checkpoint are nobody's.
	Create []string
	// Drop are the statements that undo Create, with which [Runner.Rebuild] begins.
	// Without them the model can't be rebuilt while its process runs.
	Drop []string
}

// SQLFold takes one event into the model's tables, through tx alone, which it must
// neither end nor keep. It depends on nothing but the event and those tables: it runs
// again when its transaction is not stored. It returns the errors of tx as they are.
type SQLFold func(ctx context.Context, tx *sql.Tx, e event.Event, data event.Data) error

// Tables is a read model in tables of a database. It is safe for concurrent use.
type Tables struct {
	db       *sql.DB
	schema   Schema
	fold     SQLFold
	progress *progress
	followed string
	complete atomic.Uint64 // the stream's last sequence when the tables were made
}

// SQL declares the model that fold makes of events in tables of db. Nobody else
// writes those tables. db may be a file of this process alone, such as
// [SQLite.Writer], or a database that several processes share: one of them writes
// then, and the others stand by.
//
// The events of one transaction are folded one after another, and the checkpoint
// moves with them: UPDATE … WHERE sequence = what it was. That statement comes first
// too, so a second writer waits for the first one's transaction and then finds that
// it has lost. It needs a database whose transactions take in CREATE TABLE, that
// counts a row as updated when its values stay, and that knows $1 for a placeholder:
// SQLite and PostgreSQL do.
func SQL(db *sql.DB, schema Schema, fold SQLFold) *Tables {
	return &Tables{db: db, schema: schema, fold: fold, progress: newProgress()}
}

// Follow returns the runner that folds the events of store into the tables. They
// follow one store: a second call panics. [Config.CacheSize], [Config.CacheBytes] and
// [Config.Erases] mean nothing to tables.
//
// A model whose event could not be folded is parked, and tries that event again every
// [Config.StandBy], since what failed may have been the database.
func (t *Tables) Follow(store *eventstore.Store, cfg Config) *Runner {
	if t.followed != "" {
		panic(fmt.Sprintf("projection: model %s follows %s already", t.schema.Model, t.followed))
	}
	t.followed = store.Stream().Name
	m := &sqlModel{
		Tables: t, store: store,
		history: stream{js: store.JetStream(), name: t.followed}, log: cfg.withDefaults().Log,
	}
	return newRunner(t.schema.Model, m, store, t.progress, cfg)
}

// Wait is [View.Wait] for a model in a database.
func (t *Tables) Wait(ctx context.Context, sequence uint64) error {
	return t.progress.wait(ctx, t.followed, sequence)
}

// Await is [View.Await] for a model in a database, with one addition: while the model
// is being built, it waits for the end that the stream had when that began, so that
// nobody takes half of the past for the whole. Tables that are not followed do not
// wait.
func (t *Tables) Await(ctx context.Context) error {
	wanted := endpoint.Position{Stream: t.followed, Sequence: t.complete.Load()}
	for _, p := range endpoint.Waits(ctx) {
		if p.Stream == t.followed {
			wanted.Sequence = max(wanted.Sequence, p.Sequence)
		}
	}
	if wanted.Sequence == 0 {
		return t.progress.fit()
	}
	return await(ctx, t.progress, wanted)
}
