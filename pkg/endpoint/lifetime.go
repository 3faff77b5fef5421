package endpoint

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// lifetime is a context with a deadline that costs no timer until somebody waits for
// its end, which a handler that only computes never does. From then on it is one of the
// standard library's, with all that contexts derived from it expect.
type lifetime struct {
	values   context.Context //nolint:containedctx // it is a context itself, over this one
	deadline time.Time

	mu    sync.Mutex
	ended error // why it ended before anybody waited
	timed atomic.Pointer[timed]
}

type timed struct {
	ctx    context.Context //nolint:containedctx // what the lifetime stands for
	cancel context.CancelFunc
}

// Deadline is part of [context.Context].
func (l *lifetime) Deadline() (time.Time, bool) { return l.deadline, true }

// Done is part of [context.Context].
func (l *lifetime) Done() <-chan struct{} { return l.wait().ctx.Done() }

// Err is part of [context.Context].
func (l *lifetime) Err() error {
	if t := l.timed.Load(); t != nil {
		return t.ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil && !time.Now().Before(l.deadline) {
		l.ended = context.DeadlineExceeded
	}
	return l.ended
}

// Value is part of [context.Context].
func (l *lifetime) Value(key any) any {
	if t := l.timed.Load(); t != nil {
		return t.ctx.Value(key)
	}
	return l.values.Value(key)
}

// wait starts the clock.
func (l *lifetime) wait() *timed {
	if t := l.timed.Load(); t != nil {
		return t
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.timed.Load(); t != nil {
		return t
	}
	t := &timed{}
	t.ctx, t.cancel = context.WithDeadline(l.values, l.deadline)
	if l.ended != nil {
		t.cancel()
	}
	l.timed.Store(t)
	return t
}

// cancel ends it, unless it has ended.
func (l *lifetime) cancel() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.timed.Load(); t != nil {
		t.cancel()
	} else if l.ended == nil {
		l.ended = context.Canceled
	}
}
