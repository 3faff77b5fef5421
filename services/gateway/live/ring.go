package live

import (
	"cmp"
	"slices"
	"sync"
)

const (
	ringEvents  = 4096
	ringBytes   = 4 << 20
	pieceEvents = 256
	pieceBytes  = 64 << 10
)

// entry is one genuine event, ready to be sent.
type entry struct {
	sequence uint64
	kind, id string // of order.created.<id>: "created" and the id
	frame    []byte // all of the server-sent event but its id
}

// ring holds the last events of one history for all who listen to it. It is bounded;
// whoever is too far behind reads the stream instead.
type ring struct {
	erased string // the kind of event before which nothing of its aggregate is to be known

	mu      sync.Mutex
	changed chan struct{} // closed at the next change of what is below
	entries []entry       // oldest first
	bytes   int           // in them
	from    uint64        // entries are complete after it
	reached uint64        // and up to it
	paused  bool          // the stream can't be read just now
	end     error         // why nothing will follow
}

// view is what a ring has for somebody at a position.
type view struct {
	entries []entry
	reached uint64 // there is nothing else up to it
	missed  bool   // the ring begins later: the stream has what lies between
	last    uint64 // what the ring has reached
	paused  bool
	end     error
	changed <-chan struct{}
}

func newRing(position uint64, erased string) *ring {
	return &ring{changed: make(chan struct{}), from: position, reached: position, erased: erased}
}

// add appends the events between the last position and reached.
func (r *ring) add(entries []entry, reached uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(entries) == 0 && reached <= r.reached {
		return
	}
	for _, e := range entries {
		if e.kind == r.erased {
			r.forget(e.id)
		}
		r.entries = append(r.entries, e)
		r.bytes += len(e.frame)
	}
	r.reached = max(r.reached, reached)
	if len(r.entries) > 2*ringEvents || r.bytes > 2*ringBytes {
		r.trim()
	}
	r.notify()
}

// forget drops the events of an aggregate that was erased.
func (r *ring) forget(id string) {
	r.entries = slices.DeleteFunc(r.entries, func(e entry) bool {
		if e.id == id {
			r.bytes -= len(e.frame)
		}
		return e.id == id
	})
}

// trim drops the oldest events. It leaves so many that it is rarely needed.
func (r *ring) trim() {
	drop := 0
	for ; len(r.entries)-drop > ringEvents || r.bytes > ringBytes; drop++ {
		r.bytes -= len(r.entries[drop].frame)
		r.from = r.entries[drop].sequence
	}
	r.entries = slices.Clone(r.entries[drop:])
}

// pause says that the stream can't be read, or can be again.
func (r *ring) pause(paused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.paused != paused {
		r.paused = paused
		r.notify()
	}
}

// finish says that nothing will follow.
func (r *ring) finish(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end = err
	r.notify()
}

func (r *ring) notify() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *ring) position() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reached
}

func (r *ring) ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end != nil
}

// after returns a piece of what comes after position.
func (r *ring) after(position uint64) view {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := view{reached: max(position, r.reached), last: r.reached, missed: position < r.from, paused: r.paused, end: r.end, changed: r.changed}
	if v.missed {
		return v
	}
	first, _ := slices.BinarySearchFunc(r.entries, position+1, func(e entry, sequence uint64) int { return cmp.Compare(e.sequence, sequence) })
	rest := r.entries[first:]
	n, size := 0, 0
	for ; n < len(rest) && n < pieceEvents && (n == 0 || size+len(rest[n].frame) <= pieceBytes); n++ {
		size += len(rest[n].frame)
	}
	v.entries = slices.Clone(rest[:n])
	if n < len(rest) {
		v.reached = rest[n-1].sequence
	}
	return v
}
