package registry

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// leaseTime is how long the replica that checks may be silent before another takes over.
const leaseTime = 9 * time.Second

// leaseKey is one token, unlike the keys of instances in the same bucket.
const leaseKey = "lease"

// lease lets one replica at a time do something. Its holder writes its key again and
// again; another takes it over when the key has not changed for a term by its own clock,
// so clocks need not agree. The holder stops a term after the last write that it knows
// of began. That is no fence: a replica that was paused may act a moment longer, so what
// it does must be safe when two do it.
type lease struct {
	kv     jetstream.KeyValue
	holder string // this replica, unlike any other
	term   time.Duration
	log    *slog.Logger
}

// hold runs lead whenever this replica holds the lease, until ctx ends. It gives the
// lease back then, so that another need not wait.
func (l lease) hold(ctx context.Context, lead func(ctx context.Context)) {
	var seen sighting
	for {
		revision, err := l.take(ctx, &seen)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.log.WarnContext(ctx, "the lease for checking cannot be had", "error", err)
		case revision > 0:
			l.lead(ctx, revision, lead)
			seen = sighting{}
		}
		if !pause(ctx, l.term/3) {
			return
		}
	}
}

// sighting is when somebody else's lease was seen first.
type sighting struct {
	revision uint64
	since    time.Time
}

// take returns the revision of the lease if it is ours now, and 0 if it is not.
func (l lease) take(ctx context.Context, seen *sighting) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, l.term/3)
	defer cancel()
	entry, err := l.kv.Get(ctx, leaseKey)
	var revision uint64
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		revision, err = l.kv.Create(ctx, leaseKey, []byte(l.holder))
	case err != nil:
		return 0, err
	case entry.Revision() != seen.revision:
		*seen = sighting{entry.Revision(), time.Now()}
		return 0, nil
	case time.Since(seen.since) < l.term:
		return 0, nil
	default:
		revision, err = l.kv.Update(ctx, leaseKey, []byte(l.holder), entry.Revision())
	}
	if isOvertaken(err) {
		return 0, nil
	}
	return revision, err
}

// lead runs do until ctx ends or the lease is lost.
func (l lease) lead(ctx context.Context, revision uint64, do func(ctx context.Context)) {
	leading, cancel := context.WithCancel(ctx)
	defer cancel()
	fuse := time.AfterFunc(l.term*2/3, cancel) // taking it took up to a third
	defer fuse.Stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(leading)
	}()
	l.log.DebugContext(ctx, "this replica checks services now")
	for pause(leading, l.term/3) {
		began := time.Now()
		next, err := l.renew(leading, revision)
		if errors.Is(err, errLeaseLost) {
			break
		}
		if err != nil {
			l.log.WarnContext(ctx, "the lease for checking cannot be renewed", "error", err)
			continue
		}
		revision = next
		fuse.Reset(time.Until(began.Add(l.term)))
	}
	cancel()
	<-done
	if ctx.Err() == nil {
		l.log.WarnContext(ctx, "this replica has lost the lease for checking")
		return
	}
	l.giveBack(context.WithoutCancel(ctx), revision)
}

var errLeaseLost = errors.New("another replica has the lease")

func (l lease) renew(ctx context.Context, revision uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, l.term/3)
	defer cancel()
	next, err := l.kv.Update(ctx, leaseKey, []byte(l.holder), revision)
	if !isOvertaken(err) {
		return next, err
	}
	// It may have been this replica, whose acknowledgement was lost.
	entry, err := l.kv.Get(ctx, leaseKey)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return 0, errLeaseLost
	case err != nil:
		return 0, err
	case string(entry.Value()) != l.holder:
		return 0, errLeaseLost
	default:
		return entry.Revision(), nil
	}
}

func (l lease) giveBack(ctx context.Context, revision uint64) {
	ctx, cancel := context.WithTimeout(ctx, l.term/3)
	defer cancel()
	if err := l.kv.Delete(ctx, leaseKey, jetstream.LastRevision(revision)); err != nil {
		l.log.InfoContext(ctx, "the lease for checking was not given back and will run out", "error", err)
	}
}

// isOvertaken reports whether a write was refused because somebody else wrote first.
func isOvertaken(err error) bool {
	var api jetstream.JetStreamError
	return errors.Is(err, jetstream.ErrKeyExists) ||
		errors.As(err, &api) && api.APIError() != nil && api.APIError().ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// pause waits for d and reports whether ctx still lives then.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
