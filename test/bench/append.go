package main

import (
	"context"
	"fmt"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// life is how many events an aggregate gets before its writer turns to the next.
const life = 20

// load is how many work at once, and how often each does its work in a round.
type load struct{ writers, each int }

// appends: one typed event with optimistic concurrency control, to aggregates that are
// new and to such that grow.
func appends() []contest {
	var all []contest
	for _, l := range []load{{1, 3000}, {16, 1000}, {64, 400}} {
		all = append(all,
			appending(contest{name: fmt.Sprintf("append/new/%d", l.writers)}, l, 1),
			appending(contest{name: fmt.Sprintf("append/growing/%d", l.writers)}, l, life))
	}
	return append(all, appending(contest{name: "append/sync-always/64", sync: syncAlways}, load{64, 80}, 1))
}

// appending compares what makes the event durable: the store, which makes and
// validates a typed event and builds the message, and groups events where the server
// syncs each write; nats.go with the message as good as built; and watermill and the
// CloudEvents SDK, which know no concurrency control.
func appending(c contest, l load, life int) contest {
	return contest{
		name: c.name, sync: c.sync, metrics: []metric{{unit: "events/s"}},
		prepare: func(ctx context.Context, r *rig) (field, error) {
			ours, err := r.history(ctx, orders)
			if err != nil {
				return field{}, err
			}
			raw, err := r.history(ctx, plains)
			if err != nil {
				return field{}, err
			}
			water, err := newWater(ctx, r)
			if err != nil {
				return field{}, err
			}
			cloud, err := r.history(ctx, clouds)
			if err != nil {
				return field{}, err
			}
			store := eventstore.New(ours, orders, events, eventstore.SyncAlways(r.sync == syncAlways))
			each := r.size(l.each, 2*life)
			turn := func(hire func(ids []string) (writer, error)) round {
				return func(ctx context.Context, _ int) ([]float64, error) {
					all, err := crew(l.writers, func() (writer, error) { return hire(newIDs(each, life)) })
					if err != nil {
						return nil, err
					}
					return together(ctx, all, each)
				}
			}
			f := field{
				ours: turn(func(ids []string) (writer, error) { return appender(store, ids), nil }),
				peers: []peer{
					{"raw PublishMsg", turn(func(ids []string) (writer, error) { return rawAppender(raw, plains, ids) })},
					{"watermill", turn(func(ids []string) (writer, error) { return water.appender(ids), nil })},
					{"cloudevents sdk", turn(func(ids []string) (writer, error) { return cloudAppender(cloud, ids) })},
				},
			}
			if r.sync == syncAlways {
				alone := eventstore.New(ours, orders, events)
				f.peers = append(f.peers, peer{"ours without groups", turn(func(ids []string) (writer, error) { return appender(alone, ids), nil })})
			}
			return f, nil
		},
	}
}

// newIDs names the aggregate of each of n events.
func newIDs(n, life int) []string {
	ids := make([]string, n)
	for i := range ids {
		if i%life == 0 {
			ids[i] = event.NewID()
		} else {
			ids[i] = ids[i-1]
		}
	}
	return ids
}

// appender appends a new event to ids[i].
func appender(store *eventstore.Store, ids []string) writer {
	var tail eventstore.Tail
	return func(ctx context.Context, i int) error {
		if i > 0 && ids[i] != ids[i-1] {
			tail = eventstore.Tail{}
		}
		e, err := newFact(ctx, ids[i])
		if err != nil {
			return err
		}
		tail, err = store.Append(ctx, ids[i], tail, []event.Event{e})
		return err
	}
}
