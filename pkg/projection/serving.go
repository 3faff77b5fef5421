package projection

import (
	"context"
	"sync"
	"time"
)

// servingFor is how long a process without a runner trusts what it knows.
const servingFor = time.Second

// serving is the bucket that a process reads a model from.
type serving struct {
	home home

	mu       sync.Mutex
	current  bucket
	followed bool      // a runner says which it is
	looked   time.Time // when it is not followed
}

func newServing(h home) *serving { return &serving{home: h, current: h.at(0)} }

// follow says that a runner will tell.
func (s *serving) follow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.followed = true
}

func (s *serving) is(b bucket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current.name == b.name
}

func (s *serving) set(b bucket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = b
}

// bucket returns the one to read from.
func (s *serving) bucket(ctx context.Context) (bucket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.followed || time.Since(s.looked) < servingFor {
		return s.current, nil
	}
	g, err := s.home.look(ctx)
	if err != nil {
		return bucket{}, err
	}
	s.current, s.looked = s.home.at(g.Serving), time.Now()
	return s.current, nil
}
