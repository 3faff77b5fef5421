package live

import (
	"context"
	"errors"
	"time"
)

const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = time.Second

	broadcastPiece = 64 // events that are passed on together when there are many
)

// broadcast reads one history once for all who listen to it. It mends itself: after a
// lost connection, a restarted server or a deleted consumer it goes on where it was.
type broadcast struct {
	*ring

	history   *history
	began     time.Time // the stream's timeline
	listeners int       // guarded by the mutex of the handler
	cancel    context.CancelFunc
	done      chan struct{}
}

// newBroadcast starts the broadcast of what comes after the last message that the
// stream had when s began. It outlives the request that it is started for.
func newBroadcast(s start) *broadcast {
	ctx, cancel := context.WithCancel(context.Background())
	b := &broadcast{
		ring:    newRing(s.last, kindOf(s.history.Stream.Erased())),
		history: s.history, began: s.began, cancel: cancel, done: make(chan struct{}),
	}
	go b.run(ctx)
	return b
}

// stop ends the broadcast and waits for it.
func (b *broadcast) stop() {
	b.cancel()
	<-b.done
}

func (b *broadcast) run(ctx context.Context) {
	defer close(b.done)
	backoff := firstBackoff
	for ctx.Err() == nil {
		before := b.position()
		err := b.session(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrGone):
			b.history.log.ErrorContext(ctx, "live events end", "stream", b.history.Stream.Name, "position", b.position(), "error", err)
			b.finish(err)
			return
		}
		b.pause(true)
		b.history.log.WarnContext(ctx, "live events are interrupted", "stream", b.history.Stream.Name, "position", b.position(), "error", err)
		if b.position() != before {
			backoff = firstBackoff
		}
		wait(ctx, backoff)
		backoff = min(2*backoff, lastBackoff)
	}
}

// session reads on until something goes wrong.
func (b *broadcast) session(ctx context.Context) error {
	ctx, done := b.history.connected(ctx)
	defer done()
	t, err := b.history.open(ctx, b.began, b.position())
	if err != nil {
		return because(ctx, err)
	}
	defer t.close(ctx)
	b.pause(false)
	var fresh []entry
	for {
		i, err := t.next(ctx)
		if err != nil {
			return because(ctx, err)
		}
		if i.event != nil {
			e, err := b.history.entry(*i.event)
			if err != nil {
				return err
			}
			fresh = append(fresh, e)
		}
		if i.pending == 0 || len(fresh) >= broadcastPiece {
			if err := t.verify(ctx); err != nil {
				return because(ctx, err)
			}
			b.add(fresh, t.position)
			fresh = nil
		}
	}
}

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
