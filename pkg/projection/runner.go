package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// Runner keeps one model up to date. It mends itself: after a lost connection, a
// restarted server or a deleted consumer it goes on from the checkpoint. Several
// runners of one model, in several processes, do no harm: one writes, the others
// stand by.
type Runner struct {
	name     string
	bucket   bucket
	history  stream
	store    *eventstore.Store
	progress *progress
	cfg      Config
	types    map[string]bool // those the fold gets
	fold     func(d *draft, e event.Event, data event.Data) error

	commits uint64 // how many batches were stored; for run

	mu     sync.Mutex
	cancel context.CancelFunc
	done   chan struct{}
	begun  chan struct{} // closed when the model is followed, watched or parked
	ready  sync.Once
	health error
	parked *ParkedError // what was logged last
}

func newRunner(name string, b bucket, store *eventstore.Store, p *progress, cfg Config, fold func(*draft, event.Event, event.Data) error) *Runner {
	types := make(map[string]bool)
	for _, t := range store.Registry().Types() {
		types[t] = true
	}
	return &Runner{
		types: types,
		name:  name, bucket: b, store: store, progress: p, cfg: cfg.withDefaults(), fold: fold,
		history: stream{js: store.JetStream(), name: store.Stream().Name},
		done:    make(chan struct{}), begun: make(chan struct{}),
		health: ErrNotFollowed,
	}
}

// Start returns once following has begun, which is before the model is up to date:
// see [Runner.CaughtUp]. It fails when the bucket or the stream is missing, when the
// bucket lacks a setting of [BucketConfig] that matters, and when NATS does not
// answer. A model that is parked has started. A runner starts once.
func (r *Runner) Start(ctx context.Context) error {
	r.mu.Lock()
	if r.cancel != nil {
		r.mu.Unlock()
		return fmt.Errorf("read model %s: started twice", r.name)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	r.mu.Unlock()

	err := r.check(ctx)
	if err == nil {
		r.progress.stop(nil)
		failed := make(chan error, 1)
		go r.run(running, failed)
		select {
		case <-r.begun:
			return nil
		case err = <-failed:
		case <-ctx.Done():
			err = ctx.Err()
		}
		cancel()
		<-r.done
	} else {
		cancel()
		close(r.done)
	}
	return fmt.Errorf("start read model %s: %w", r.name, err)
}

func (r *Runner) check(ctx context.Context) error {
	s, err := r.bucket.js.Stream(ctx, r.bucket.name)
	if err != nil {
		return fmt.Errorf("look at bucket %s: %w", r.name, err)
	}
	return checkBucket(r.name, s.CachedInfo().Config, r.cfg.Erases)
}

// Stop ends following and waits for it, or for ctx. A batch that is being written is
// abandoned; the next start finds out whether it was stored.
func (r *Runner) Stop(ctx context.Context) error {
	r.mu.Lock()
	cancel := r.cancel
	r.mu.Unlock()
	if cancel == nil {
		return nil
	}
	cancel()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop read model %s: %w", r.name, ctx.Err())
	}
}

// Health is nil while the model is followed, by this process or by another that this
// one watches. It is a [*ParkedError] when the model stands still, [ErrNotFollowed]
// before Start and after Stop, and else what keeps the runner from following.
func (r *Runner) Health() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.health
}

// CaughtUp returns when the model has folded everything that is in the stream now.
// It fails as [View.Wait] does.
func (r *Runner) CaughtUp(ctx context.Context) error {
	last, err := r.history.last(ctx, ">", leader)
	if err != nil {
		return err
	}
	return r.progress.wait(ctx, r.history.name, last.sequence)
}

// Lag returns how many messages of the stream the model has yet to fold. It makes
// and deletes a consumer, about a millisecond of the server's time.
func (r *Runner) Lag(ctx context.Context) (events uint64, err error) {
	reached, _, _ := r.progress.now()
	return r.history.count(ctx, reached)
}

// run is the runner's life: sessions, and the pauses between them. failed gets the
// first error, if it comes before the model is followed.
func (r *Runner) run(ctx context.Context, failed chan<- error) {
	defer close(r.done)
	defer r.ended()
	var (
		backoff = firstBackoff
		from    = replica
		watch   = r.cfg.ReadOnly
		parked  *ParkedError
	)
	for ctx.Err() == nil {
		var err error
		before := r.commits
		switch {
		case parked != nil:
			if err = r.waitParked(ctx, parked); err == nil {
				parked, watch = nil, true
				continue
			}
		case watch:
			if err = r.standBy(ctx); err == nil {
				watch, from = false, replica
				continue
			}
		default:
			err = r.follow(ctx, from)
		}
		var refused *refusedError
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errNeedsLeader):
			from = leader
			continue
		case errors.Is(err, errFirstBatch):
			watch = true
			continue
		case errors.As(err, &parked):
			continue
		case errors.As(err, &refused):
			watch, err = r.overtaken(ctx, refused)
			if !watch && err == nil && from == leader {
				err = refused
			}
			from = leader
		}
		if err == nil {
			continue
		}
		select {
		case failed <- err:
		default:
		}
		r.unhealthy(fmt.Errorf("follow %s into read model %s: %w", r.history.name, r.name, err))
		if r.commits != before {
			backoff = firstBackoff
		}
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// overtaken reports whether a refused batch means that another writer is at work. A
// key that changed under an unmoved checkpoint was a stale read or somebody's hand:
// then the same events are folded again on values from the leader.
func (r *Runner) overtaken(ctx context.Context, refused *refusedError) (bool, error) {
	at, err := r.bucket.readCheckpoint(ctx, r.history.name)
	if err != nil && !errors.Is(err, ErrCheckpoint) {
		return false, err
	}
	if at.revision == refused.revision {
		return false, nil
	}
	r.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "another process writes the read model, standing by",
		slog.String("bucket", r.name), slog.String("stream", r.history.name))
	return true, nil
}

func (r *Runner) following() {
	r.set(nil)
	r.ready.Do(func() { close(r.begun) })
}

func (r *Runner) unhealthy(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.health = err
}

func (r *Runner) ended() {
	r.unhealthy(ErrNotFollowed)
	r.progress.stop(ErrNotFollowed)
}

// set notes that the model is followed (nil) or parked. Being parked for another
// reason than before is logged.
func (r *Runner) set(parked *ParkedError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if parked == nil {
		if r.parked != nil {
			r.parked = nil
			r.cfg.Log.LogAttrs(context.Background(), slog.LevelInfo, "read model moves again",
				slog.String("bucket", r.name), slog.String("stream", r.history.name))
		}
		r.health = nil
		r.progress.stop(nil)
		return
	}
	r.health = parked
	r.progress.stop(parked)
	if r.parked != nil && r.parked.Error() == parked.Error() {
		return
	}
	r.parked = parked
	attrs := []slog.Attr{
		slog.String("bucket", r.name), slog.String("stream", parked.Stream),
		slog.Uint64("sequence", parked.Sequence), slog.String("event_type", parked.Type), slog.Any("error", parked.Err),
	}
	if p, ok := errors.AsType[*panicError](parked.Err); ok {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	r.cfg.Log.LogAttrs(context.Background(), slog.LevelError, "read model is parked", attrs...)
}
