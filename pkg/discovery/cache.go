package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// askFunc asks for the instances of a service, of which those keys are expected.
type askFunc func(ctx context.Context, name string, known []string) ([]Instance, error)

// cache keeps answers for a while, by service. Of several callers one asks and the
// others wait for its answer. An error is not kept. What nobody has
// asked for in a minute goes when something new is asked for.
type cache struct {
	ttl time.Duration
	ask askFunc

	mu      sync.Mutex
	entries map[string]*entry
}

type entry struct {
	asking chan struct{} // holds a token while somebody asks

	mu        sync.Mutex
	instances []Instance
	at        time.Time // of the answer; zero before the first
	used      time.Time
}

// unusedFor is how long an entry stays that nobody asks for.
const unusedFor = time.Minute

func newCache(ttl time.Duration, ask askFunc) *cache {
	return &cache{ttl: ttl, ask: ask, entries: make(map[string]*entry)}
}

func (c *cache) get(ctx context.Context, name string) ([]Instance, error) {
	return c.after(ctx, name, time.Now().Add(-c.ttl))
}

// after returns an answer that is not older than oldest.
func (c *cache) after(ctx context.Context, name string, oldest time.Time) ([]Instance, error) {
	e := c.entry(name)
	if instances, ok := e.since(oldest); ok {
		return instances, nil
	}
	select {
	case e.asking <- struct{}{}:
		defer func() { <-e.asking }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx))
	}
	// Somebody may have asked meanwhile.
	if instances, ok := e.since(oldest); ok {
		return instances, nil
	}
	began := time.Now()
	instances, err := c.ask(ctx, name, e.keys())
	if errors.Is(err, ErrNoInstances) {
		e.set(nil, time.Time{}) // nobody is expected any more
	}
	if err != nil {
		return nil, err
	}
	e.set(instances, began)
	return instances, nil
}

func (c *cache) entry(name string) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	e := c.entries[name]
	if e == nil {
		for other, o := range c.entries {
			if now.Sub(o.used) > unusedFor {
				delete(c.entries, other)
			}
		}
		e = &entry{asking: make(chan struct{}, 1)}
		c.entries[name] = e
	}
	e.used = now
	return e
}

// keys returns who answered last for a service.
func (c *cache) keys(name string) []string { return c.entry(name).keys() }

func (e *entry) since(oldest time.Time) ([]Instance, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.instances, !e.at.IsZero() && e.at.After(oldest)
}

func (e *entry) set(instances []Instance, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.instances, e.at = instances, at
}

func (e *entry) keys() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	keys := make([]string, len(e.instances))
	for i, instance := range e.instances {
		keys[i] = instance.key()
	}
	return keys
}
