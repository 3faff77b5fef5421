package endpoint

import (
	"context"
	"sync"
)

type idempotencyKey struct{}

// WithIdempotencyKey returns a context whose calls carry key: a command that is
// called twice with it happens once. It does not reach what the service calls in turn.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

type sessionKey struct{}

// session remembers what its calls wrote.
type session struct {
	mu    sync.Mutex
	wrote []Position
}

// ReadYourWrites returns a context whose calls form a session: what one of them wrote
// the later ones take into account, waiting for read models as long as their deadline
// allows.
func ReadYourWrites(ctx context.Context) context.Context {
	return context.WithValue(ctx, sessionKey{}, &session{})
}

func (s *session) remember(header string) {
	positions, err := parsePositions(header)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range positions {
		s.wrote = reach(s.wrote, p)
	}
}

func (s *session) positions() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return joinPositions(s.wrote)
}
