package auth

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"
)

// publicKey verifies what one issuer signed.
type publicKey struct {
	issuer string
	bytes  []byte
	until  time.Time

	removed atomic.Bool // what it signed is no good any more
}

// good reports whether what the key signed may be good.
func (k *publicKey) good(now time.Time) bool { return !k.removed.Load() && now.Before(k.until) }

func (k *publicKey) same(other *publicKey) bool {
	return k.until.Equal(other.until) && bytes.Equal(k.bytes, other.bytes)
}

// keys are the public keys that are known, by name; nil for one that was removed.
type keys struct {
	mu     sync.RWMutex
	byName map[string]*publicKey
}

func (s *keys) get(id string) *publicKey {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byName[id]
}

// found adds a key that was looked for. What the watch has said counts more, since the
// answer may be late: a key that was removed meanwhile stays away.
func (s *keys) found(id string, k *publicKey) *publicKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now, told := s.byName[id]; told {
		return now
	}
	s.set(id, k)
	return k
}

// put is what the watch says of one key; nil removes it.
func (s *keys) put(id string, k *publicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(id, k)
}

// replace leaves the keys of all alone.
func (s *keys) replace(all map[string]*publicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, old := range s.byName {
		if _, still := all[id]; old != nil && !still {
			old.removed.Store(true)
		}
	}
	before := s.byName
	s.byName = make(map[string]*publicKey, len(all))
	for id, k := range all {
		s.byName[id] = before[id]
		s.set(id, k)
	}
}

// set keeps the key that is there if it is the same, for the sake of what it has
// proved.
func (s *keys) set(id string, k *publicKey) {
	if s.byName == nil {
		s.byName = make(map[string]*publicKey)
	}
	if old := s.byName[id]; old != nil {
		if k != nil && old.same(k) {
			return
		}
		old.removed.Store(true)
	}
	s.byName[id] = k
}
