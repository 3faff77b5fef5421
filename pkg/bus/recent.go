package bus

import "slices"

// recent remembers the sequences that were settled last. When one of them is
// delivered again, its acknowledgement got lost: it is repeated, and the handler does
// not run on an event that later ones of its aggregate have overtaken.
type recent struct {
	ring    []uint64
	next    int
	highest uint64
}

func newRecent(size int) recent { return recent{ring: make([]uint64, size)} }

func (r *recent) add(sequence uint64) {
	r.ring[r.next] = sequence
	r.highest = max(r.highest, sequence)
	if r.next++; r.next == len(r.ring) {
		r.next = 0
	}
}

// has is quick for what was never settled here, and looks through the ring for what
// may have been.
func (r *recent) has(sequence uint64) bool {
	return sequence <= r.highest && slices.Contains(r.ring, sequence)
}

func (r *recent) forget() {
	clear(r.ring)
	r.highest = 0
}
