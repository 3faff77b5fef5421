package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

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
	model    model // where it is kept: what differs from kind to kind
	history  stream
	store    *eventstore.Store
	progress *progress
	cfg      Config
	types    map[string]bool // those the fold gets

	rebuilder *rebuilder // nil for a kind that has no generations
	complete  bool       // Start returns when the model is up to date

	steps   atomic.Uint64 // how many were stored; for run
	pace    pace
	commits *commits

	mu      sync.Mutex
	cancel  context.CancelFunc
	done    chan struct{}
	begun   chan struct{} // closed when the model is followed, watched or parked
	ready   sync.Once
	health  error
	parked  *ParkedError // what was logged last
	next    model        // what to go on with in place of the present one
	end     func(error)  // ends the session
	skipped *Skipped     // as the checkpoint has it
}

// newRunner returns the runner of the model called name, which tells p how far it is.
func newRunner(name string, m model, store *eventstore.Store, p *progress, cfg Config) *Runner {
	types := make(map[string]bool)
	for _, t := range store.Registry().Types() {
		types[t] = true
	}
	cfg = cfg.withDefaults()
	return &Runner{
		types: types,
		name:  name, model: m, store: store, progress: p, cfg: cfg,
		commits: newCommits(cfg.Meters, name, store.Stream().Name),
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

	var err error
	if r.rebuilder != nil {
		err = r.rebuilder.begin(ctx)
	}
	if err == nil {
		err = r.model.check(ctx)
	}
	if err == nil {
		r.progress.stop(nil)
		failed := make(chan error, 1)
		go r.run(running, failed)
		select {
		case <-r.begun:
			if !r.complete {
				return nil
			}
			err = r.completed(ctx)
			if err == nil {
				return nil
			}
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

// completed returns when the model is up to date, or parked, which it says itself.
func (r *Runner) completed(ctx context.Context) error {
	err := r.CaughtUp(ctx)
	if _, parked := errors.AsType[*ParkedError](err); parked {
		return nil
	}
	return err
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
// and deletes a consumer, about a millisecond of the server's time. [Runner.Status]
// also says for how long.
func (r *Runner) Lag(ctx context.Context) (events uint64, err error) {
	reached, _, _ := r.progress.now()
	return r.history.count(ctx, reached)
}

// run is the runner's life: sessions, and the pauses between them. failed gets the
// first error, if it comes before the model is followed.
func (r *Runner) run(ctx context.Context, failed chan<- error) {
	defer close(r.done)
	defer r.ended()
	defer r.measure()()
	if r.rebuilder != nil {
		var looking sync.WaitGroup
		defer looking.Wait()
		looking.Go(func() { r.rebuilder.run(ctx) })
	}
	c := course{watch: r.cfg.ReadOnly}
	backoff := firstBackoff
	for ctx.Err() == nil {
		before := r.steps.Load()
		session, end := context.WithCancelCause(ctx)
		if r.renewed(end) {
			c = course{watch: r.cfg.ReadOnly}
		}
		err := r.attend(session, &c)
		end(nil)
		if ctx.Err() != nil {
			return
		}
		if err = r.decide(ctx, &c, err); err == nil {
			continue
		}
		select {
		case failed <- err:
		default:
		}
		r.unhealthy(fmt.Errorf("follow %s into read model %s: %w", r.history.name, r.name, err))
		if r.steps.Load() != before {
			backoff = firstBackoff
		}
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// course is what a runner does next: it waits, parked, or it stands by and watches,
// or it folds.
type course struct {
	parked *ParkedError
	watch  bool
	from   source // of the values it folds on
}

// attend does what c says until there is a reason to do something else.
func (r *Runner) attend(ctx context.Context, c *course) error {
	switch {
	case c.parked != nil:
		if err := r.waitParked(ctx, c.parked); err != nil {
			return err
		}
		c.parked, c.watch = nil, true
	case c.watch:
		if err := r.standBy(ctx); err != nil {
			return err
		}
		c.watch, c.from = false, replica
	default:
		return r.follow(ctx, c.from)
	}
	return nil
}

// decide says in c what to do after a session that ended with err. An error means
// trouble that takes a pause.
func (r *Runner) decide(ctx context.Context, c *course, err error) error {
	var refused *refusedError
	switch {
	case errors.Is(err, errSwitched), errors.As(err, &c.parked):
		return nil
	case errors.Is(err, errNeedsLeader):
		c.from = leader
		return nil
	case errors.Is(err, errFirstBatch):
		c.watch = true
		return nil
	case errors.As(err, &refused):
		again := c.from == leader
		c.watch, err = r.overtaken(ctx, refused)
		c.from = leader
		if !c.watch && err == nil && again {
			return refused
		}
	}
	return err
}

// replace makes the runner go on with another model in place of its own.
func (r *Runner) replace(m model) {
	r.mu.Lock()
	r.next = m
	end := r.end
	r.mu.Unlock()
	if end != nil {
		end(errSwitched)
	}
}

// renewed reports whether the model was replaced. end ends the session that begins.
func (r *Runner) renewed(end func(error)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end = end
	if r.next == nil {
		return false
	}
	r.model, r.next = r.next, nil
	return true
}

// overtaken reports whether a refused batch means that another writer is at work. A
// key that changed under an unmoved checkpoint was a stale read or somebody's hand:
// then the same events are folded again on values from the leader.
func (r *Runner) overtaken(ctx context.Context, refused *refusedError) (bool, error) {
	at, err := r.model.checkpoint(ctx)
	if err != nil && !errors.Is(err, ErrCheckpoint) {
		return false, err
	}
	if at.revision == refused.at.revision && at.Sequence == refused.at.Sequence {
		return false, nil
	}
	r.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "another process writes the read model, standing by", r.attrs(nil)...)
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

// reached notes what is stored.
func (r *Runner) reached(at checkpoint) {
	r.mu.Lock()
	r.skipped = at.Skipped
	r.mu.Unlock()
	r.advance(at.Sequence)
}

// advance tells how far the model is, unless readers still see more of another
// generation.
func (r *Runner) advance(sequence uint64) {
	if m, ok := r.model.(*keyValue); ok && r.rebuilder != nil && !r.rebuilder.serve(m, sequence) {
		return
	}
	r.progress.reach(sequence)
}

// attrs are what every line of the log says about the model.
func (r *Runner) attrs(err error) []slog.Attr {
	attrs := []slog.Attr{slog.String("read_model", r.name), slog.String("stream", r.history.name)}
	if err == nil {
		return attrs
	}
	attrs = append(attrs, slog.Any("error", err))
	if p, ok := errors.AsType[*panicError](err); ok {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	return attrs
}

// set notes that the model is followed (nil) or parked. Being parked for another
// reason than before is logged.
func (r *Runner) set(parked *ParkedError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if parked == nil {
		if r.parked != nil {
			r.parked = nil
			r.cfg.Log.LogAttrs(context.Background(), slog.LevelInfo, "read model moves again", r.attrs(nil)...)
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
	r.cfg.Log.LogAttrs(context.Background(), slog.LevelError, "read model is parked", append(r.attrs(parked.Err),
		slog.Uint64("sequence", parked.Sequence), slog.String("event_type", parked.Type))...)
}
