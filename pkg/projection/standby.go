package projection

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// standBy watches another writer's checkpoint and returns nil when it is time to
// take over: it stood still for an interval although the stream has more. A writer that
// stands still may have died before it erased what it replaced, which needs no event to
// follow: that is done here, once for each checkpoint.
func (r *Runner) standBy(ctx context.Context) error {
	r.following()
	var erased uint64
	return r.watch(ctx, func(ctx context.Context, at checkpoint, moved bool) (bool, error) {
		if moved || r.cfg.ReadOnly {
			return false, nil
		}
		if m, ok := r.model.(eraser); ok && erased != at.revision {
			if err := m.erase(ctx, at); err != nil {
				return false, err
			}
			erased = at.revision
		}
		lag, err := r.history.count(ctx, at.Sequence)
		return lag > 0, err
	})
}

// waitParked returns nil when the reason to be parked may be gone: another process
// moved the checkpoint, or it fits the stream again, and not because the stream grew.
func (r *Runner) waitParked(ctx context.Context, parked *ParkedError) error {
	r.set(parked)
	r.ready.Do(func() { close(r.begun) })
	return r.watch(ctx, func(ctx context.Context, at checkpoint, moved bool) (bool, error) {
		if moved {
			return true, nil
		}
		if parked.Sequence == 0 {
			now, began, err := r.verified(ctx)
			return err == nil && (!errors.Is(parked, errEnd) || !now.Created.Equal(began)), nil
		}
		if again, ok := r.model.(retrier); ok && at.Sequence < parked.Sequence {
			return again.foldable(ctx, parked.Sequence)
		}
		return at.Sequence >= parked.Sequence, nil
	})
}

// watch keeps the model's progress up to date with what others write until enough
// says so. enough is asked every StandBy, with the checkpoint and whether it has
// moved since the last time.
func (r *Runner) watch(ctx context.Context, enough func(ctx context.Context, at checkpoint, moved bool) (bool, error)) error {
	ctx, lost, done := guard(ctx, append([]*nats.Conn{r.history.js.Conn()}, r.model.connections()...)...)
	defer done()
	at, err := r.model.checkpoint(ctx)
	if err != nil && !errors.Is(err, ErrCheckpoint) {
		return cause(ctx, err)
	}
	if err == nil {
		r.reached(at)
	}
	stop, err := r.model.watch(ctx, r.advance, lost)
	if err != nil {
		return cause(ctx, err)
	}
	defer stop()
	ticker := time.NewTicker(r.cfg.StandBy)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
			now, err := r.model.checkpoint(ctx)
			if err != nil && !errors.Is(err, ErrCheckpoint) {
				return cause(ctx, err)
			}
			moved := now.revision != at.revision
			at = now
			if reached, _, _ := r.progress.now(); err == nil && (at.Sequence > reached || !moved) {
				r.reached(at) // what watch tells may be newer, unless it stays behind
			}
			if done, err := enough(ctx, now, moved); done || err != nil {
				return cause(ctx, err)
			}
		}
	}
}
