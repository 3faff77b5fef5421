package projection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/timeline"
)

const (
	// patience bounds how long a step waits for events that are known to be on their
	// way, when there are many: larger steps cost less.
	patience = 250 * time.Millisecond
	// many is from when on they are.
	many = 1000
)

// session folds from the checkpoint on until something goes wrong. All that it
// remembers ends with it, so the next one starts from what is stored. While one step
// is being stored, the next is folded.
type session struct {
	*Runner

	created time.Time // when the history stream's timeline began
	writer  writer
	next    checkpoint // where the open step leads
	events  int        // in the open step
	holds   contents   // of those
	opened  time.Time  // when it got the first
	storing chan error // of the sealed step; nil when there is none
	work    sync.WaitGroup
	sealed  int       // events in it
	pending uint64    // events that are on their way
	told    time.Time // when the log was told how far the model is
}

// follow runs one session. It never returns nil: a session ends by an error, or with
// the context.
func (r *Runner) follow(ctx context.Context, from source) error {
	ctx, lost, done := guard(ctx, append([]*nats.Conn{r.history.js.Conn()}, r.model.connections()...)...)
	defer done()
	at, created, err := r.verified(ctx)
	if err != nil {
		return cause(ctx, err)
	}
	s := &session{Runner: r, created: created}
	if s.writer, err = r.model.open(ctx, at, from); err != nil {
		return cause(ctx, err)
	}
	defer s.writer.close()
	s.next = s.writer.stored()
	r.reached(s.next)
	adopt := !s.next.absent() && !s.next.Created.Equal(created)
	s.next.Stream, s.next.Created = r.history.name, created
	if adopt {
		if err := s.adopt(ctx); err != nil {
			return cause(ctx, err)
		}
	}
	in := newIntake(r.store, r.types)
	// Without a filter: the server delivers several times faster, and the position
	// moves past claims too.
	stop, err := openFeed(ctx, r.history, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   s.next.Sequence + 1,
	}, func(d delivery) { in.take(ctx, d) }, lost)
	if err != nil {
		return cause(ctx, err)
	}
	defer stop()
	defer lost(nil) // what is on its way counts no more
	r.following()
	err = cause(ctx, s.run(ctx, in.items))
	lost(err)
	s.work.Wait() // what became of it, the next session finds out
	return err
}

// adopt stores the checkpoint anew as one of the timeline that the stream is in now,
// where it holds too: from here on the timelines differ.
func (s *session) adopt(ctx context.Context) error {
	s.events++
	if err := s.seal(ctx); err != nil {
		return err
	}
	return s.free()
}

// cause returns why ctx ended, if it has, since what fails after that fails because
// of it.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// verified returns the checkpoint, if it fits the stream, and when the stream's timeline
// began.
func (r *Runner) verified(ctx context.Context) (checkpoint, time.Time, error) {
	at, err := r.model.checkpoint(ctx)
	if err != nil {
		return at, time.Time{}, r.parkedOn(err)
	}
	history, err := r.history.js.Stream(ctx, r.history.name)
	if err != nil {
		return at, time.Time{}, fmt.Errorf("look at stream %s: %w", r.history.name, err)
	}
	info := history.CachedInfo()
	now, err := timeline.Of(info)
	if err != nil {
		return at, time.Time{}, fmt.Errorf("look at stream %s: %w", r.history.name, err)
	}
	if err := at.verify(info, now); err != nil {
		return at, time.Time{}, r.parkedOn(err)
	}
	if at.absent() {
		orphaned, err := r.model.orphaned(ctx)
		if err != nil {
			return at, time.Time{}, err
		}
		if orphaned {
			// Unless another process has just written its first batch.
			if again, err := r.model.checkpoint(ctx); err != nil || !again.absent() {
				return again, time.Time{}, cmp.Or(err, errFirstBatch)
			}
			return at, time.Time{}, r.parkedOn(fmt.Errorf("%w: there are values but no checkpoint", ErrCheckpoint))
		}
	}
	return at, now.Began, nil
}

// parkedOn turns a checkpoint that does not fit into the reason to park.
func (r *Runner) parkedOn(err error) error {
	if !errors.Is(err, ErrCheckpoint) {
		return err
	}
	return &ParkedError{Bucket: r.name, Stream: r.history.name, Err: err}
}

func (s *session) run(ctx context.Context, items <-chan item) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.storing:
			if err := s.settle(err); err != nil {
				return err
			}
			if len(items) == 0 {
				if err := s.seal(ctx); err != nil {
					return err
				}
			}
		case <-timer.C:
			if err := s.sealWhenFree(ctx); err != nil {
				return err
			}
		case i := <-items:
			if err := s.take(ctx, i); err != nil {
				return err
			}
			wait := s.wait(i.pending)
			if wait <= 0 && len(items) == 0 || wait < -patience {
				if err := s.sealWhenFree(ctx); err != nil {
					return err
				}
			} else if len(items) == 0 {
				timer.Reset(wait)
			}
		}
	}
}

// wait returns how long the open step waits for more events, of which pending are on
// their way.
func (s *session) wait(pending uint64) time.Duration {
	switch {
	case pending == 0:
		return 0
	case pending < many:
		return time.Until(s.opened.Add(s.cfg.Linger))
	default:
		return time.Until(s.opened.Add(patience))
	}
}

// take folds one message into the open step.
func (s *session) take(ctx context.Context, i item) error {
	switch {
	case event.Unreadable(i.err):
		return s.poisoned(ctx, i, i.err)
	case i.err != nil:
		return i.err
	case i.data != nil:
		return s.fold(ctx, i)
	default:
		s.kept(i)
		return nil
	}
}

func (s *session) fold(ctx context.Context, i item) error {
	for {
		taken, err := s.writer.fold(ctx, i.event, i.data)
		if poison, ok := errors.AsType[*poisonError](err); ok {
			return s.poisoned(ctx, i, poison.err)
		}
		if err != nil {
			return err
		}
		if taken {
			s.kept(i)
			return nil
		}
		if err := s.free(); err != nil {
			return err
		}
		if err := s.seal(ctx); err != nil {
			return err
		}
	}
}

// kept notes that everything up to i is in the open step.
func (s *session) kept(i item) {
	if s.events == 0 {
		s.opened = time.Now()
	}
	s.events++
	if i.data != nil {
		s.holds.add(i.event)
	}
	s.next.Sequence, s.pending = i.sequence, i.pending
}

// poisoned skips an event, when that is the policy and the fold is to blame, or parks
// the model exactly in front of it.
func (s *session) poisoned(ctx context.Context, i item, why error) error {
	if s.cfg.Poison == Skip && !event.Unreadable(why) {
		s.next.Skipped = s.next.Skipped.with(i, why)
		s.cfg.Log.LogAttrs(ctx, slog.LevelError, "event skipped by the read model", append(s.attrs(why),
			slog.Uint64("sequence", i.sequence), slog.String("event_type", i.event.Type))...)
		s.kept(i)
		return nil
	}
	if err := s.free(); err != nil {
		return err
	}
	if err := s.seal(ctx); err != nil {
		return err
	}
	if err := s.free(); err != nil {
		return err
	}
	return &ParkedError{Bucket: s.name, Stream: s.history.name, Sequence: i.sequence, Type: i.event.Type, Err: why}
}

func (s *session) sealWhenFree(ctx context.Context) error {
	if s.storing != nil {
		return nil // once it is stored
	}
	return s.seal(ctx)
}

// seal begins to store the open step, unless it is empty. No other is being stored.
func (s *session) seal(ctx context.Context) error {
	if s.events == 0 {
		return nil
	}
	c := s.commits.begin(ctx, s.holds)
	if err := s.writer.seal(ctx, s.next); err != nil {
		c.end(err)
		return err
	}
	s.events, s.sealed, s.holds = 0, s.events, contents{}
	storing := make(chan error, 1)
	s.storing = storing
	s.work.Go(func() {
		err := s.writer.store(ctx)
		c.end(err)
		storing <- err
	})
	return nil
}

// free waits until no step is being stored.
func (s *session) free() error {
	if s.storing == nil {
		return nil
	}
	return s.settle(<-s.storing)
}

// settle takes note of how storing a step ended.
func (s *session) settle(err error) error {
	s.storing = nil
	if err != nil {
		return err
	}
	s.steps.Add(1)
	s.pace.add(s.sealed, time.Now())
	s.reached(s.writer.stored())
	s.tell(time.Now())
	return nil
}

// catchingUpEvery is how often the log is told of a model that is catching up.
const catchingUpEvery = 10 * time.Second

// tell logs how far the model is while it has much to do.
func (s *session) tell(now time.Time) {
	if s.told.IsZero() {
		s.told = now
	}
	if s.pending < many || now.Sub(s.told) < catchingUpEvery {
		return
	}
	s.told = now
	attrs := append(s.attrs(nil), slog.Uint64("position", s.next.Sequence), slog.Uint64("events_left", s.pending))
	if pace := s.pace.now(); pace > 0 {
		attrs = append(attrs, slog.Float64("events_per_second", pace), slog.Float64("seconds_left", float64(s.pending)/pace))
	}
	s.cfg.Log.LogAttrs(context.Background(), slog.LevelInfo, "read model is catching up", attrs...)
}
