package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// contest is one thing that we and others can do, and how to measure it.
type contest struct {
	name    string
	metrics []metric
	sync    string // how often the server syncs files to disk; empty is the server's default
	prepare func(ctx context.Context, r *rig) (field, error)
}

// metric is one figure of a round.
type metric struct {
	name  string // empty when there is only one
	unit  string
	lower bool // less is better
}

// field is who takes part in a contest.
type field struct {
	ours  round
	peers []peer
}

type peer struct {
	name string
	run  round
}

// round measures once and returns a figure for each metric. n is different in every
// call, so that it can name what the round creates.
type round func(ctx context.Context, n int) ([]float64, error)

// rounds is how many count. One more comes before them, and is not counted, because
// the first to come pays for what all need: connections, files, caches.
const rounds = 5

// row is the outcome for one metric and one peer.
type row struct {
	name, unit string
	ours, peer sample
	ratio      float64 // of the medians; above 1 we are better
}

// contests lists everything there is, in the order it is run.
func contests() []contest {
	return slices.Concat(
		envelopes(),
		appends(),
		imports(),
		commands(),
		loads(),
		besideSQLite(),
		handlers(),
		latencies(),
		rebuilds(),
		heaps(),
		calls(),
		gateways(),
	)
}

// hold runs the contest on a server of its own.
func (c contest) hold(ctx context.Context, quick bool) (rows []row, err error) {
	r := &rig{quick: quick, sync: c.sync}
	defer func() { err = errors.Join(err, r.close()) }()
	f, err := c.prepare(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	figures, err := c.measure(ctx, f, quick)
	if err != nil {
		return nil, err
	}
	for i, m := range c.metrics {
		for j, p := range f.peers {
			rows = append(rows, newRow(c.name, p.name, m, figures[0][i], figures[j+1][i]))
		}
	}
	return rows, nil
}

// measure returns the figures by side, ours first, and by metric. In every round each
// side has its turn, the order reversed from round to round, so that what else the
// machine does hits all alike.
func (c contest) measure(ctx context.Context, f field, quick bool) ([][]sample, error) {
	sides := append([]peer{{"ours", f.ours}}, f.peers...)
	figures := make([][]sample, len(sides))
	order := make([]int, len(sides))
	for i := range sides {
		figures[i], order[i] = make([]sample, len(c.metrics)), i
	}
	first, last := 0, rounds
	if quick {
		first, last = 1, 1
	}
	for n := first; n <= last; n++ {
		for _, i := range order {
			values, err := sides[i].run(ctx, n)
			if err == nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", sides[i].name, err)
			}
			if n == 0 {
				continue
			}
			for m, v := range values {
				figures[i][m] = append(figures[i][m], v)
			}
		}
		slices.Reverse(order)
	}
	return figures, nil
}

func newRow(contest, peer string, m metric, ours, theirs sample) row {
	name := contest
	if m.name != "" {
		name += " " + m.name
	}
	ratio := ours.median() / theirs.median()
	if m.lower {
		ratio = theirs.median() / ours.median()
	}
	return row{name: name + " vs " + peer, unit: m.unit, ours: ours, peer: theirs, ratio: ratio}
}
