package main

import (
	"context"
	"fmt"

	"sluice/pkg/aggregate"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// tally is the state of an aggregate: how much was noted.
type tally struct{ amount int }

func count(t tally, _ event.Event, data event.Data) tally {
	if n, ok := data.(noted); ok {
		t.amount += n.Amount
	}
	return t
}

// commands: load, decide and append, beside appending alone with nats.go. Each
// aggregate gets a life of commands, one after another, from one writer; the first one
// creates it.
func commands() []contest {
	var all []contest
	for _, l := range []load{{1, 3000}, {16, 1000}, {64, 400}} {
		all = append(all, contest{
			name: fmt.Sprintf("command/%d", l.writers), metrics: []metric{{unit: "commands/s"}},
			prepare: func(ctx context.Context, r *rig) (field, error) { return commanding(ctx, r, l) },
		})
	}
	return all
}

func commanding(ctx context.Context, r *rig, l load) (field, error) {
	ours, err := r.history(ctx, orders)
	if err != nil {
		return field{}, err
	}
	raw, err := r.history(ctx, plains)
	if err != nil {
		return field{}, err
	}
	each := r.size(l.each, 2*life)
	tallies := aggregate.New(eventstore.New(ours, orders, events), count)
	return field{
		ours: func(ctx context.Context, _ int) ([]float64, error) {
			all, err := crew(l.writers, func() (writer, error) { return commander(tallies, newIDs(each, life)), nil })
			if err != nil {
				return nil, err
			}
			return together(ctx, all, each)
		},
		peers: []peer{{"raw PublishMsg", func(ctx context.Context, _ int) ([]float64, error) {
			all, err := crew(l.writers, func() (writer, error) { return rawAppender(raw, plains, newIDs(each, life)) })
			if err != nil {
				return nil, err
			}
			return together(ctx, all, each)
		}}},
	}, nil
}

// commander carries out a command on aggregate ids[i] and checks that it met all of
// those before.
func commander(tallies *aggregate.Aggregates[tally], ids []string) writer {
	return func(ctx context.Context, i int) error {
		result, err := tallies.Do(commanded(ctx), aggregate.Command[tally]{
			ID: ids[i], Create: i%life == 0,
			Decide: func(tally) ([]event.Data, error) { return []event.Data{fact()}, nil },
		})
		if err == nil && (result.Version != uint64(i%life)+1 || result.State.amount != fact().Amount*int(result.Version)) {
			return fmt.Errorf("command %d on an aggregate led to version %d", i%life+1, result.Version)
		}
		return err
	}
}
