package bus

import (
	"slices"
	"time"
)

// item is a message in hand: delivered and not settled.
type item struct {
	delivery *delivery // the latest; earlier ones differ in the reply
	message  Message
	received time.Time
	prior    int // attempts that earlier deliveries count for

	running   bool      // a handler has it, or its dead letter is being stored
	notBefore time.Time // end of its backoff
	failures  int
	firstAt   time.Time // of the failures
	lastError error
}

func (it *item) sequence() uint64 { return it.message.Sequence }

// lane is the queue of one key, in stream order. A goroutine works on it as long as
// it holds anything.
type lane struct {
	key   string
	queue []*item
}

// insert puts it where its sequence belongs: nearly always last, but redeliveries
// come in any order.
func (l *lane) insert(it *item) {
	at := len(l.queue)
	for at > 0 && l.queue[at-1].sequence() > it.sequence() {
		at--
	}
	l.queue = slices.Insert(l.queue, at, it)
}

func (l *lane) remove(it *item) {
	if at := slices.Index(l.queue, it); at >= 0 {
		l.queue = slices.Delete(l.queue, at, at+1)
	}
}

// recent remembers the sequences that were settled last. When one of them is
// delivered again, its acknowledgement got lost: it is repeated, and the handler does
// not run on an event that later ones of its aggregate have overtaken.
type recent struct {
	ring []uint64
	next int
	set  map[uint64]struct{}
}

func newRecent(size int) recent {
	return recent{ring: make([]uint64, size), set: make(map[uint64]struct{}, size)}
}

func (r *recent) add(sequence uint64) {
	if r.has(sequence) {
		return
	}
	delete(r.set, r.ring[r.next])
	r.ring[r.next] = sequence
	r.set[sequence] = struct{}{}
	r.next = (r.next + 1) % len(r.ring)
}

func (r *recent) has(sequence uint64) bool {
	_, ok := r.set[sequence]
	return ok
}
