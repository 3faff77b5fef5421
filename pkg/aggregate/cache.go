package aggregate

import (
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
)

// cacheSize bounds how many aggregates are kept in memory.
const cacheSize = 10_000

// cache keeps aggregates as this process last knew them. They may be out of date:
// appends notice, and refusals are confirmed elsewhere.
type cache[S any] struct {
	mu    sync.Mutex
	roots *lru.Cache[string, *root[S]]
}

func newCache[S any]() *cache[S] {
	roots, err := lru.New[string, *root[S]](cacheSize)
	if err != nil {
		panic(err) // only for a size below one
	}
	return &cache[S]{roots: roots}
}

func (c *cache[S]) get(id string) *root[S] {
	r, _ := c.roots.Get(id)
	return r
}

// put keeps r unless something later is known.
func (c *cache[S]) put(id string, r *root[S]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.roots.Peek(id); ok && known.tail.Version > r.tail.Version {
		return
	}
	c.roots.Add(id, r)
}

func (c *cache[S]) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roots.Remove(id)
}
