package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/hallgren/eventsourcing"
	sourced "github.com/hallgren/eventsourcing/aggregate"
	sqlstore "github.com/hallgren/eventsourcing/eventstore/sql"
	_ "modernc.org/sqlite" // the driver

	"sluice/pkg/event"
)

// ledger is a tally as hallgren/eventsourcing wants it: it holds its events itself.
type ledger struct {
	sourced.Root

	amount int
}

// Transition applies an event.
func (l *ledger) Transition(e eventsourcing.Event) {
	if n, ok := e.Data().(*noted); ok {
		l.amount += n.Amount
	}
}

// Register lists the events.
func (*ledger) Register(register sourced.RegisterFunc) { register(&noted{}) }

// note adds a new event with the metadata that a command of ours gives to one.
func (l *ledger) note() {
	n, command := fact(), event.NewID()
	sourced.TrackChangeWithMetadata(l, &n, map[string]any{"correlationid": command, "causationid": command})
}

// durability is how SQLite writes a transaction before a commit returns.
type durability struct{ journal, synchronous string }

// What SQLite does by default, and what most set instead: with the write-ahead log a
// commit that is synced costs one sync instead of several, and one that is not
// survives a kill of the process but not a power cut, as our server's default does.
var (
	rollbackFull = durability{"DELETE", "FULL"} // SQLite's, and so the library's default; survives a power cut
	walFull      = durability{"WAL", "FULL"}    // survives a power cut
	walNormal    = durability{"WAL", "NORMAL"}  // survives a kill of the process
)

func (d durability) String() string { return d.journal + " synchronous=" + d.synchronous }

// connections is how many SQLite gets. Only one writes at a time.
const connections = 8

// open opens a file, which is created by the first that uses it.
func (d durability) open(file string) (*sql.DB, error) {
	pragmas := url.Values{"_pragma": {
		"busy_timeout(30000)", "journal_mode(" + d.journal + ")", "synchronous(" + d.synchronous + ")",
	}}
	db, err := sql.Open("sqlite", "file:"+file+"?"+pragmas.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// sourcing is hallgren/eventsourcing on a SQLite file: in the process of those who use
// it, so without a server and for this one process alone, and nobody is told of an event.
type sourcing struct{ store *sqlstore.SQLite }

func newSourcing(r *rig, d durability) (sourcing, error) {
	folder, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return sourcing{}, err
	}
	r.closers = append(r.closers, func() error { return os.RemoveAll(folder) })
	db, err := d.open(filepath.Join(folder, "events.db"))
	if err != nil {
		return sourcing{}, err
	}
	r.closers = append(r.closers, db.Close)
	store, err := sqlstore.NewSQLiteSingelWriter(db)
	if err != nil {
		return sourcing{}, fmt.Errorf("create the tables: %w", err)
	}
	sourced.Register(&ledger{})
	return sourcing{store}, nil
}

// appender appends a new event to ids[i], which it keeps in memory.
func (s sourcing) appender(ids []string) writer {
	var l *ledger
	return func(_ context.Context, i int) error {
		if i == 0 || ids[i] != ids[i-1] {
			l = &ledger{}
			if err := l.SetID(ids[i]); err != nil {
				return err
			}
		}
		l.note()
		return sourced.Save(s.store, l)
	}
}

// commander loads aggregate ids[i], decides and saves, as the library has it: it keeps
// nothing in memory. The first one creates it.
func (s sourcing) commander(ids []string) writer {
	return func(ctx context.Context, i int) error {
		var l ledger
		var err error
		if i%life == 0 {
			err = l.SetID(ids[i])
		} else {
			err = sourced.Load(ctx, s.store, ids[i], &l)
		}
		if err != nil {
			return err
		}
		l.note()
		if int(l.Version()) != i%life+1 || l.amount != fact().Amount*(i%life+1) {
			return fmt.Errorf("command %d on an aggregate led to version %d", i%life+1, l.Version())
		}
		return sourced.Save(s.store, &l)
	}
}

// load returns how many events an aggregate has.
func (s sourcing) load(ctx context.Context, id string) (int, error) {
	var l ledger
	err := sourced.Load(ctx, s.store, id, &l)
	return int(l.Version()), err
}

// fill writes the events of p in the order in which our stream has them.
func (s sourcing) fill(p past) error {
	grown := make([]ledger, p.aggregates)
	for i := range p.size() {
		aggregate, k := p.at(i)
		l := &grown[aggregate]
		if k == 0 {
			if err := l.SetID(p.id(aggregate)); err != nil {
				return err
			}
		}
		l.note()
		if err := sourced.Save(s.store, l); err != nil {
			return err
		}
	}
	return nil
}
