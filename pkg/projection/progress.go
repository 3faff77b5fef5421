package projection

import (
	"context"
	"errors"
	"sync"

	"sluice/pkg/endpoint"
)

// progress is how far a model has come, for those who wait for it.
type progress struct {
	mu      sync.Mutex
	reached uint64
	stopped error         // why the model does not move; nil when it does
	changed chan struct{} // closed at the next change
}

func newProgress() *progress {
	return &progress{stopped: ErrNotFollowed, changed: make(chan struct{})}
}

// reach notes that everything up to sequence is folded. It may go back: a model can
// be rebuilt.
func (p *progress) reach(sequence uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reached != sequence {
		p.reached = sequence
		p.announce()
	}
}

// stop notes why the model stands still; nil means that it moves again.
func (p *progress) stop(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = why
	p.announce()
}

func (p *progress) announce() {
	close(p.changed)
	p.changed = make(chan struct{})
}

//nolint:revive,staticcheck // the error is a value here, not an outcome
func (p *progress) now() (reached uint64, stopped error, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reached, p.stopped, p.changed
}

// fit returns an error for a model whose checkpoint does not fit the stream: what it
// has may never have happened. The caller is told to try again later.
func (p *progress) fit() error {
	_, stopped, _ := p.now()
	if errors.Is(stopped, ErrCheckpoint) {
		return endpoint.Unavailable("the read model does not fit the history and is to be rebuilt").Because(stopped)
	}
	return nil
}

func (p *progress) wait(ctx context.Context, stream string, sequence uint64) error {
	for {
		reached, stopped, changed := p.now()
		if errors.Is(stopped, ErrCheckpoint) {
			return stopped // it has reached what is no more
		}
		if reached >= sequence {
			return nil
		}
		if stopped != nil {
			return stopped
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &BehindError{Stream: stream, Wanted: sequence, Reached: reached, cause: context.Cause(ctx)}
		}
	}
}
