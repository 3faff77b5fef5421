package main

import (
	"context"
	"fmt"

	"sluice/pkg/aggregate"
	"sluice/pkg/eventstore"
)

// besideSQLite: events of single aggregates in a stream on a server, with
// hallgren/eventsourcing and a SQLite file in the process itself as the peer. Beside
// each of our two settings stands what survives the same: synced before the
// acknowledgement, and not.
func besideSQLite() []contest {
	always, unsynced := []durability{rollbackFull, walFull}, []durability{walNormal}
	var all []contest
	for _, l := range []load{{1, 200}, {64, 10}} {
		all = append(all,
			sqlAppending(contest{name: fmt.Sprintf("append/sqlite/sync-always/%d", l.writers), sync: syncAlways}, l, always),
			sqlCommanding(contest{name: fmt.Sprintf("command/sqlite/sync-always/%d", l.writers), sync: syncAlways}, l, always))
	}
	for _, l := range []load{{1, 3000}, {64, 200}} {
		all = append(all,
			sqlAppending(contest{name: fmt.Sprintf("append/sqlite/%d", l.writers)}, l, unsynced),
			sqlCommanding(contest{name: fmt.Sprintf("command/sqlite/%d", l.writers)}, l, unsynced))
	}
	return append(all, sqlLoading(100_000))
}

// sqlAppending appends single events to new aggregates.
func sqlAppending(c contest, l load, settings []durability) contest {
	c.metrics = []metric{{unit: "events/s"}}
	c.prepare = func(ctx context.Context, r *rig) (field, error) {
		store, err := storeOf(ctx, r)
		if err != nil {
			return field{}, err
		}
		ours := l.turn(r, 1, func(ids []string) writer { return appender(store, ids) })
		return besides(r, ours, settings, func(s sourcing) round { return l.turn(r, 1, s.appender) })
	}
	return c
}

// sqlCommanding carries out a life of commands on each aggregate.
func sqlCommanding(c contest, l load, settings []durability) contest {
	c.metrics = []metric{{unit: "commands/s"}}
	c.prepare = func(ctx context.Context, r *rig) (field, error) {
		store, err := storeOf(ctx, r)
		if err != nil {
			return field{}, err
		}
		tallies := aggregate.New(store, count)
		ours := l.turn(r, life, func(ids []string) writer { return commander(tallies, ids) })
		return besides(r, ours, settings, func(s sourcing) round { return l.turn(r, life, s.commander) })
	}
	return c
}

// sqlLoading loads all events of one aggregate among many, from what is stored.
func sqlLoading(size int) contest {
	return contest{
		name: fmt.Sprintf("load/sqlite/%d of %d", life, size), metrics: []metric{{unit: "µs", lower: true}},
		prepare: func(ctx context.Context, r *rig) (field, error) {
			ours, err := stored(ctx, r, orders, events, r.size(size, smallest))
			if err != nil {
				return field{}, err
			}
			n := r.size(500, 20)
			return besides(r, ours.turn(n, ours.load), []durability{walNormal}, func(s sourcing) round {
				if err := s.fill(ours.past); err != nil {
					return func(context.Context, int) ([]float64, error) { return nil, err }
				}
				return ours.turn(n, s.load)
			})
		},
	}
}

// storeOf returns our store, which groups events if the server syncs each write.
func storeOf(ctx context.Context, r *rig) (*eventstore.Store, error) {
	js, err := r.history(ctx, orders)
	if err != nil {
		return nil, err
	}
	return eventstore.New(js, orders, events, eventstore.SyncAlways(r.sync == syncAlways)), nil
}

// besides sets ours beside the same on SQLite, with each of the settings.
func besides(r *rig, ours round, settings []durability, turn func(s sourcing) round) (field, error) {
	f := field{ours: ours}
	for _, d := range settings {
		s, err := newSourcing(r, d)
		if err != nil {
			return field{}, err
		}
		f.peers = append(f.peers, peer{"hallgren sqlite " + d.String(), turn(s)})
	}
	return f, nil
}

// turn lets all writers do their work on aggregates that nobody knows yet, each of
// which gets a number of events.
func (l load) turn(r *rig, life int, hire func(ids []string) writer) round {
	each := r.size(l.each, 2*life)
	return func(ctx context.Context, _ int) ([]float64, error) {
		all, err := crew(l.writers, func() (writer, error) { return hire(newIDs(each, life)), nil })
		if err != nil {
			return nil, err
		}
		return together(ctx, all, each)
	}
}
