package eventstore

import (
	"slices"

	"sluice/pkg/event"
)

// Tail is the end of one aggregate's history: what the next append continues. The
// zero Tail is that of an aggregate which does not exist yet.
type Tail struct {
	Version  uint64   // of the last event; 0 for none
	Sequence uint64   // the last event's stream sequence
	Last     uint64   // of the last message on the aggregate's subjects: what an append expects
	Previous []uint64 // sequences of the last events, newest first, at most [event.MaxPrevious]
	step     int      // the last event's place in its decision
}

// follows reports whether e continues t: the next version, linked to the last
// event. This is the definition of genuine that all readers share.
func (t Tail) follows(e event.Event) bool {
	switch {
	case e.Version != t.Version+1 || e.Step < 1:
		return false
	case e.Step > 1:
		return t.Version > 0 && e.Sequence == t.Sequence+1 && e.Step == t.step+1
	case t.Version == 0:
		return len(e.Previous) == 0
	default:
		return len(e.Previous) > 0 && e.Previous[0] == t.Sequence
	}
}

// with returns the tail after e, which follows t.
func (t Tail) with(e event.Event) Tail {
	previous := make([]uint64, 0, event.MaxPrevious)
	previous = append(previous, e.Sequence)
	previous = append(previous, t.Previous[:min(len(t.Previous), event.MaxPrevious-1)]...)
	return Tail{Version: e.Version, Sequence: e.Sequence, Last: max(t.Last, e.Sequence), Previous: previous, step: e.Step}
}

// predecessors returns the sequences before e that its links name, newest first:
// the earlier steps of its decision, then the events before the decision. most
// bounds them.
func predecessors(e event.Event, most uint64) []uint64 {
	sequences := make([]uint64, 0, min(most, uint64(e.Step-1+len(e.Previous))))
	for i := 1; i < e.Step && uint64(len(sequences)) < most && e.Sequence > uint64(i); i++ {
		sequences = append(sequences, e.Sequence-uint64(i))
	}
	rest := e.Previous
	return append(sequences, rest[:min(uint64(len(rest)), most-uint64(len(sequences)))]...)
}

// tailAt returns the tail of an aggregate whose newest event is e and whose last
// message, genuine or not, is at sequence last.
func tailAt(e event.Event, last uint64) Tail {
	previous := append([]uint64{e.Sequence}, predecessors(e, event.MaxPrevious-1)...)
	return Tail{Version: e.Version, Sequence: e.Sequence, Last: last, Previous: slices.Clip(previous), step: e.Step}
}
