package bus

import "github.com/nats-io/nats.go/jetstream"

// gate keeps messages waiting while older ones are unaccounted for: pending on the
// server, and not in our hands. Guarded by the consumer's mutex.
type gate struct {
	shut    bool
	known   bool   // through is set
	through uint64 // settled up to here is good enough to open
	counted uint64 // missing counts the pending messages up to here
	missing int    // pending messages that we do not hold
	floor   uint64 // all messages up to here are settled
	closed  uint64 // how often it was
	changed func() // more may be admitted than before
}

func newGate(changed func()) gate { return gate{shut: true, changed: changed} }

// close shuts the gate until an assessment of what was looked up after that finds nothing
// missing.
func (g *gate) close() {
	g.shut, g.known = true, false
	g.closed++
}

// admits reports whether the message at sequence may be handled now. Also through a
// shut gate goes what directly follows the settled messages, since nothing can be
// missing before it: so somebody always makes progress.
func (g *gate) admits(sequence uint64) bool { return !g.shut || sequence <= g.floor+1 }

// received notes that a pending message came into our hands, or was settled.
func (g *gate) received(sequence uint64) {
	if !g.shut || !g.known || sequence > g.counted {
		return
	}
	if g.missing--; g.missing <= 0 {
		g.open()
	}
}

// assess compares what the server has pending with what we hold. Of the messages
// that held yields, only those that were delivered when info was made count.
func (g *gate) assess(info *jetstream.ConsumerInfo, held map[uint64]*item) {
	if !g.shut {
		return
	}
	g.counted, g.missing = info.Delivered.Stream, info.NumAckPending
	for sequence := range held {
		if sequence <= g.counted {
			g.missing--
		}
	}
	if !g.known {
		g.known, g.through = true, info.Delivered.Stream
	}
	if g.missing <= 0 || info.AckFloor.Stream >= g.through {
		g.open()
		return
	}
	if g.floor != info.AckFloor.Stream {
		g.floor = info.AckFloor.Stream
		g.changed()
	}
}

func (g *gate) open() {
	g.shut = false
	g.changed()
}
