package projection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// catchUp bounds how long a batch waits for events that are known to be on their
// way.
const catchUp = 100 * time.Millisecond

// session folds from the checkpoint on until something goes wrong. All that it
// remembers ends with it, so the next one starts from what is stored.
type session struct {
	*Runner

	created time.Time // of the history stream
	at      checkpoint
	from    source // of the values it folds on
	cache   *lru.Cache[string, stored]
	reader  *eventstore.Reader
	batch   batch
	written time.Time // when the last batch was
}

// follow runs one session. It never returns nil: a session ends by an error, or with
// the context.
func (r *Runner) follow(ctx context.Context, from source) error {
	ctx, lost, done := guard(ctx, r.bucket.js.Conn(), r.history.js.Conn())
	defer done()
	s := &session{Runner: r, from: from, reader: r.store.Reader()}
	var err error
	if s.cache, err = lru.New[string, stored](r.cfg.CacheSize); err != nil {
		return fmt.Errorf("make the cache: %w", err)
	}
	if s.at, s.created, err = r.verified(ctx); err != nil {
		return cause(ctx, err)
	}
	if err := s.eraseReplaced(ctx); err != nil {
		return cause(ctx, err)
	}
	r.progress.reach(s.at.Sequence)
	if err := s.finish(ctx); err != nil {
		return cause(ctx, err)
	}
	// Without a filter: the server delivers several times faster, and the position
	// moves past claims too.
	feed, err := openFeed(ctx, r.history, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   s.at.Sequence + 1,
	}, lost)
	if err != nil {
		return cause(ctx, err)
	}
	defer feed.stop()
	r.following()
	return cause(ctx, s.run(ctx, feed.messages))
}

// cause returns why ctx ended, if it has, since what fails after that fails because
// of it.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// verified returns the checkpoint, if it fits the stream, and when the stream was
// created.
func (r *Runner) verified(ctx context.Context) (checkpoint, time.Time, error) {
	at, err := r.bucket.readCheckpoint(ctx, r.history.name)
	if err != nil {
		return at, time.Time{}, r.parkedOn(err)
	}
	history, err := r.history.js.Stream(ctx, r.history.name)
	if err != nil {
		return at, time.Time{}, fmt.Errorf("look at stream %s: %w", r.history.name, err)
	}
	info := history.CachedInfo()
	if err := at.verify(info); err != nil {
		return at, time.Time{}, r.parkedOn(err)
	}
	if at.absent() {
		orphaned, err := r.bucket.orphaned(ctx, r.name)
		if err != nil {
			return at, time.Time{}, err
		}
		if orphaned {
			// Unless another process has just written its first batch.
			if again, err := r.bucket.readCheckpoint(ctx, r.history.name); err != nil || !again.absent() {
				return again, time.Time{}, cmp.Or(err, errFirstBatch)
			}
			return at, time.Time{}, r.parkedOn(fmt.Errorf("%w: the bucket has values but no checkpoint", ErrCheckpoint))
		}
	}
	return at, info.Created, nil
}

// parkedOn turns a checkpoint that does not fit into the reason to park.
func (r *Runner) parkedOn(err error) error {
	if !errors.Is(err, ErrCheckpoint) {
		return err
	}
	return &ParkedError{Bucket: r.name, Stream: r.history.name, Err: err}
}

func (s *session) run(ctx context.Context, messages <-chan jetstream.Msg) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var opened time.Time // when the batch got its first event
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			if err := s.commit(ctx); err != nil {
				return err
			}
		case msg := <-messages:
			pending, err := s.take(ctx, msg)
			if err != nil {
				return err
			}
			if s.batch.events <= 1 {
				opened = time.Now()
			}
			wait := time.Until(opened.Add(catchUp))
			if pending == 0 {
				wait = time.Until(s.written.Add(s.cfg.Linger))
			}
			if wait <= 0 && len(messages) == 0 {
				err = s.commit(ctx)
			}
			if err != nil {
				return err
			}
			timer.Reset(max(wait, 0))
		}
	}
}

// take folds one message into the batch. pending is how many more the stream has.
func (s *session) take(ctx context.Context, msg jetstream.Msg) (pending uint64, err error) {
	meta, err := msg.Metadata()
	if err != nil {
		return 0, fmt.Errorf("read delivery: %w", err)
	}
	sequence := meta.Sequence.Stream
	if !s.types[typeOf(msg.Subject())] { // such as a claim
		return meta.NumPending, s.keep(ctx, sequence, &draft{})
	}
	d := &draft{lookup: func(key string) (stored, error) { return s.lookup(ctx, key) }}
	e, genuine, err := s.reader.Read(ctx, msg)
	e.Stream, e.Sequence = s.history.name, sequence
	switch {
	case event.Unreadable(err):
		return 0, s.park(ctx, e, err)
	case err != nil:
		return 0, err
	case genuine:
		if err := s.apply(d, e); d.failed != nil {
			return 0, d.failed
		} else if err != nil {
			return 0, s.park(ctx, e, err)
		}
	}
	return meta.NumPending, s.keep(ctx, sequence, d)
}

// typeOf returns the event type that a history subject names.
func typeOf(subject string) string { return subject[:max(strings.LastIndexByte(subject, '.'), 0)] }

// apply runs the fold, whose panics are errors.
func (s *session) apply(d *draft, e event.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	data, err := s.store.Registry().Decode(e)
	if err != nil {
		return err
	}
	if err := s.fold(d, e, data); err != nil {
		return err
	}
	return d.wrong
}

// park commits what came before e, so that the model stands exactly in front of it.
func (s *session) park(ctx context.Context, e event.Event, why error) error {
	if err := s.commit(ctx); err != nil {
		return err
	}
	return &ParkedError{Bucket: s.name, Stream: e.Stream, Sequence: e.Sequence, Type: e.Type, Err: why}
}

// keep adds the writes of one event to the batch, after committing it when it is
// full.
func (s *session) keep(ctx context.Context, sequence uint64, d *draft) error {
	if !s.batch.fits(d) {
		if err := s.commit(ctx); err != nil {
			return err
		}
	}
	if len(d.order) <= maxWrites {
		s.batch.add(sequence, d)
		return nil
	}
	if s.from != leader {
		return errNeedsLeader
	}
	if err := s.stage(ctx, sequence, d); err != nil {
		return err
	}
	return s.finish(ctx)
}

// lookup returns the value that the fold of the next event finds.
func (s *session) lookup(ctx context.Context, key string) (stored, error) {
	if w, ok := s.batch.writes[key]; ok {
		return stored{value: w.value, live: !w.remove}, nil
	}
	m, ok := s.cache.Get(key)
	if !ok {
		var err error
		if m, err = s.bucket.get(ctx, key, s.from); err != nil {
			return stored{}, err
		}
		s.cache.Add(key, m)
	}
	if s.batch.base == nil {
		s.batch.base = make(map[string]uint64)
	}
	s.batch.base[key] = m.sequence
	return m, nil
}

// committed notes that a batch is stored.
func (s *session) committed() {
	s.written = time.Now()
	s.commits++
	s.progress.reach(s.at.Sequence)
}
