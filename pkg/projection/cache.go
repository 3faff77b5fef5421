package projection

import (
	"hash/maphash"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// entryOverhead is about what the cache needs for an entry beside key and value.
const entryOverhead = 200

// cache remembers the last stored message of keys, the least recently used going
// first, within a number of keys and of bytes. One goroutine uses it.
type cache struct {
	entries *simplelru.LRU[string, stored]
	bytes   int
	most    int
}

func newCache(keys, bytes int) *cache {
	c := &cache{most: bytes}
	entries, err := simplelru.NewLRU(keys, func(key string, m stored) { c.bytes -= sizeOf(key, m) })
	if err != nil {
		panic(err) // only for a size below one, which has a default
	}
	c.entries = entries
	return c
}

func sizeOf(key string, m stored) int { return len(key) + len(m.value) + entryOverhead }

func (c *cache) get(key string) (stored, bool)  { return c.entries.Get(key) }
func (c *cache) peek(key string) (stored, bool) { return c.entries.Peek(key) }

func (c *cache) add(key string, m stored) {
	if before, ok := c.entries.Peek(key); ok {
		c.bytes -= sizeOf(key, before)
	}
	c.bytes += sizeOf(key, m)
	c.entries.Add(key, m)
	for c.bytes > c.most && c.entries.Len() > 1 {
		c.entries.RemoveOldest()
	}
}

const (
	sieveBits   = 1 << 23 // a mebibyte
	sieveProbes = 4
)

// sieve remembers keys in a fixed amount of memory, at the price of sometimes
// remembering one that never was: one of forty with a million keys.
type sieve struct {
	seed maphash.Seed
	bits [sieveBits / 64]uint64
}

func newSieve() *sieve { return &sieve{seed: maphash.MakeSeed()} }

func (s *sieve) add(key string) {
	h := maphash.String(s.seed, key)
	for range sieveProbes {
		s.bits[h%sieveBits/64] |= 1 << (h % 64)
		h = h>>32 | h<<32
		h *= 0x9e3779b97f4a7c15
	}
}

func (s *sieve) has(key string) bool {
	h := maphash.String(s.seed, key)
	for range sieveProbes {
		if s.bits[h%sieveBits/64]&(1<<(h%64)) == 0 {
			return false
		}
		h = h>>32 | h<<32
		h *= 0x9e3779b97f4a7c15
	}
	return true
}
