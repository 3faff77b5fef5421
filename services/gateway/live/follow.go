package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// piece is what a follower has for its connection.
type piece struct {
	stream  string
	entries []entry
	reached uint64 // everything up to it was sent or is not asked for
	paused  bool   // the history can't be read just now
	end     string // why nothing will follow
}

// follower brings one reader what it asks of one history: from the stream until it is
// where the broadcast is, and from there on from the broadcast.
type follower struct {
	start

	broadcast *broadcast
	out       chan<- piece
	position  uint64
	paused    bool
}

// run ends with ctx, or after a piece that says that nothing will follow.
func (f *follower) run(ctx context.Context) {
	f.position = f.after
	backoff := firstBackoff
	for ctx.Err() == nil {
		v := f.broadcast.after(f.position)
		switch {
		case v.missed:
			err := f.catchUp(ctx, v.last)
			switch {
			case ctx.Err() != nil:
				return
			case err == nil:
				backoff = firstBackoff
			case errors.Is(err, ErrGone):
				v.end = err
			default:
				f.history.log.WarnContext(ctx, "a reader of live events can't catch up", "stream", f.history.Stream.Name, "position", f.position, "error", err)
				f.send(ctx, nil, f.position, true)
				wait(ctx, backoff)
				backoff = min(2*backoff, lastBackoff)
			}
		case v.reached > f.position || v.paused != f.paused:
			f.send(ctx, f.wantedOf(v.entries), v.reached, v.paused)
			continue
		}
		switch {
		case v.end != nil:
			f.deliver(ctx, piece{stream: f.history.Stream.Name, reached: f.position, end: v.end.Error()})
			return
		case v.missed:
			continue
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
		}
	}
}

func (f *follower) wantedOf(entries []entry) []entry {
	return slices.DeleteFunc(entries, func(e entry) bool { return !matchesAny(f.wanted, e) })
}

// send delivers what came up to reached.
func (f *follower) send(ctx context.Context, entries []entry, reached uint64, paused bool) {
	if f.deliver(ctx, piece{stream: f.history.Stream.Name, entries: entries, reached: reached, paused: paused}) {
		f.position, f.paused = reached, paused
	}
}

func (f *follower) deliver(ctx context.Context, p piece) bool {
	select {
	case f.out <- p:
		return true
	case <-ctx.Done():
		return false
	}
}

// catchUp sends what lies in the stream up to until, at least.
func (f *follower) catchUp(ctx context.Context, until uint64) error {
	ctx, done := f.history.connected(ctx)
	defer done()
	named, ok := ids(f.wanted)
	if !ok {
		return because(ctx, f.scan(ctx, until))
	}
	err := f.load(ctx, named, until)
	if event.Unreadable(err) { // a scan passes it on
		err = f.scan(ctx, until)
	}
	return because(ctx, err)
}

// scan reads all of the history.
func (f *follower) scan(ctx context.Context, until uint64) error {
	select {
	case f.history.scans <- struct{}{}:
		defer func() { <-f.history.scans }()
	case <-ctx.Done():
		return ctx.Err()
	}
	t, err := f.history.open(ctx, f.began, f.position)
	if err != nil {
		return err
	}
	defer t.close(ctx)
	if t.pull.consumer.NumPending == 0 {
		return f.reach(ctx, nil, until)
	}
	pass := func(found []entry) error {
		if err := t.verify(ctx); err != nil {
			return err
		}
		f.send(ctx, found, t.position, false)
		return nil
	}
	var found []entry
	for messages, size := 0, 0; ctx.Err() == nil; messages++ {
		i, err := t.next(ctx)
		if err != nil {
			return err
		}
		if i.event != nil && matchesAny(f.wanted, entry{kind: kindOf(i.event.Type), id: i.event.Subject}) {
			e, err := f.history.entry(*i.event)
			if err != nil {
				return err
			}
			found, size = append(found, e), size+len(e.frame)
		}
		switch {
		case i.sequence == 0: // what was still to come may have been deleted: look again
			return pass(found)
		case i.pending == 0 || i.sequence >= until:
			return f.reach(ctx, found, max(until, i.sequence))
		case messages >= pieceEvents || size >= pieceBytes:
			if err := pass(found); err != nil {
				return err
			}
			found, messages, size = nil, 0, 0
		}
	}
	return ctx.Err()
}

// load reads the aggregates that are asked for, and nothing else.
func (f *follower) load(ctx context.Context, named []string, until uint64) error {
	if err := f.history.intact(ctx, f.began, f.position); err != nil {
		return err
	}
	var found []entry
	for _, id := range named {
		events, _, err := f.history.store.LoadLatest(ctx, id, eventstore.Tail{})
		if err != nil {
			return fmt.Errorf("catch up: %w", err)
		}
		for _, recorded := range events {
			if recorded.Sequence <= f.position || recorded.Sequence > until {
				continue
			}
			e, err := f.history.entry(recorded.Event)
			if err != nil {
				return err
			}
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b entry) int { return cmp.Compare(a.sequence, b.sequence) })
	return f.reach(ctx, f.wantedOf(found), until)
}

// reach sends what was found up to reached, when nothing was taken away meanwhile.
func (f *follower) reach(ctx context.Context, found []entry, reached uint64) error {
	if err := f.history.intact(ctx, f.began, f.position); err != nil {
		return err
	}
	f.send(ctx, found, reached, false)
	return nil
}
