package bus

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"sluice/pkg/event"
)

// letterIndex is what a [Letterbox] remembers of each letter: enough to find it and to
// filter by it. It may name letters that are gone.
type letterIndex struct {
	began   time.Time // the timeline of the stream that it was read from
	last    uint64    // sequence in the stream up to which it was read
	entries []letterEntry
	byID    map[uuid.UUID]uint64 // position of the latest of this id
	names   names
}

type letterEntry struct {
	id                             uuid.UUID
	position                       uint64 // in the stream of dead letters
	sequence                       uint64 // of the message in its own stream
	lastAt                         int64  // nanoseconds
	stream, consumer, kind, reason name
}

func newLetterIndex() letterIndex {
	return letterIndex{byID: make(map[uuid.UUID]uint64), names: names{numbers: make(map[string]name)}}
}

// add takes in the next message of the stream. Redrive messages are no letters.
func (x *letterIndex) add(m storedMessage) {
	x.last = m.Sequence
	if strings.HasPrefix(m.Subject, "deadletter."+redriveToken+".") {
		return
	}
	letter, _ := openLetter(m)
	id, err := uuid.Parse(letter.ID)
	if err != nil {
		return // not possible: ids are derived
	}
	x.entries = append(x.entries, letterEntry{
		id: id, position: m.Sequence, sequence: letter.Sequence, lastAt: nanoseconds(letter.LastAt),
		stream: x.names.of(letter.Stream), consumer: x.names.of(letter.Consumer),
		kind: x.names.of(typeOf(letter)), reason: x.names.of(string(letter.Reason)),
	})
	x.byID[id] = m.Sequence
}

// nanoseconds orders times, also those that [time.Time.UnixNano] does not know.
func nanoseconds(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, 0)):
		return 0
	case t.Year() > 2261:
		return int64(^uint64(0) >> 1)
	default:
		return t.UnixNano()
	}
}

// typeOf returns the type of the event that a letter is about: as the event says, else
// as its subject does.
func typeOf(d DeadLetter) string {
	for name, values := range d.Header {
		if strings.EqualFold(name, "ce-type") && len(values) == 1 && values[0] != "" && len(values[0]) <= longestName {
			return values[0]
		}
	}
	tokens := strings.SplitN(d.Subject, ".", 3)
	return strings.Join(tokens[:min(2, len(tokens))], ".")
}

// newest returns the position of the latest letter with this id.
func (x *letterIndex) newest(id string) (position uint64, ok bool) {
	if !event.IsUUID(id) {
		return 0, false
	}
	key, err := uuid.Parse(id)
	if err != nil {
		return 0, false
	}
	position, ok = x.byID[key]
	return position, ok
}

// all returns the positions of the letters with this id, the oldest first.
func (x *letterIndex) all(id string) []uint64 {
	key, err := uuid.Parse(id)
	if err != nil {
		return nil
	}
	var positions []uint64
	for _, e := range x.entries {
		if e.id == key {
			positions = append(positions, e.position)
		}
	}
	return positions
}

// below returns the position of the latest letter that f chooses, before that position
// unless it is 0.
func (x *letterIndex) below(before uint64, f LetterFilter) (position uint64, ok bool) {
	chosen, possible := x.chooser(f)
	if !possible {
		return 0, false
	}
	end := len(x.entries)
	if before > 0 {
		end, _ = slices.BinarySearchFunc(x.entries, before, func(e letterEntry, p uint64) int { return cmp.Compare(e.position, p) })
	}
	for _, e := range slices.Backward(x.entries[:end]) {
		if chosen(e) {
			return e.position, true
		}
	}
	return 0, false
}

// inOrder returns the letters that f chooses in the order of their messages: by
// stream, then as these lay in it.
func (x *letterIndex) inOrder(f LetterFilter) []letterPlace {
	chosen, possible := x.chooser(f)
	if !possible {
		return nil
	}
	var places []letterPlace
	for _, e := range x.entries {
		if chosen(e) {
			places = append(places, letterPlace{stream: x.names.texts[e.stream], sequence: e.sequence, position: e.position, id: e.id.String()})
		}
	}
	slices.SortFunc(places, letterPlace.compare)
	return places
}

// letterPlace is where a letter stands among those that are redriven together.
type letterPlace struct {
	stream             string
	sequence, position uint64
	id                 string
}

func (p letterPlace) compare(other letterPlace) int {
	return cmp.Or(cmp.Compare(p.stream, other.stream), cmp.Compare(p.sequence, other.sequence), cmp.Compare(p.position, other.position))
}

// chooser returns what f asks of an entry. It is not possible for any when f has a name
// that no letter has.
func (x *letterIndex) chooser(f LetterFilter) (chosen func(letterEntry) bool, possible bool) {
	consumer, hasConsumer := x.names.numbers[f.Consumer]
	kind, hasKind := x.names.numbers[f.Type]
	reason, hasReason := x.names.numbers[string(f.Reason)]
	if f.Consumer != "" && !hasConsumer || f.Type != "" && !hasKind || f.Reason != "" && !hasReason {
		return nil, false
	}
	return func(e letterEntry) bool {
		return x.byID[e.id] == e.position &&
			(f.Consumer == "" || e.consumer == consumer) &&
			(f.Type == "" || e.kind == kind) &&
			(f.Reason == "" || e.reason == reason) &&
			(f.From.IsZero() || e.lastAt >= nanoseconds(f.From)) &&
			(f.To.IsZero() || e.lastAt < nanoseconds(f.To))
	}, true
}

// forget takes letters that are gone out of the index. An earlier letter of the same id
// counts again then.
func (x *letterIndex) forget(positions ...uint64) {
	gone := make(map[uuid.UUID]bool, len(positions))
	x.entries = slices.DeleteFunc(x.entries, func(e letterEntry) bool {
		if !slices.Contains(positions, e.position) {
			return false
		}
		gone[e.id] = true
		delete(x.byID, e.id)
		return true
	})
	for _, e := range x.entries {
		if gone[e.id] {
			x.byID[e.id] = e.position
		}
	}
}

// stale reports whether most entries name letters that are gone, for a stream that
// holds this many messages.
func (x *letterIndex) stale(messages uint64) bool {
	return len(x.entries) > 10*few && uint64(len(x.entries)) > 2*messages
}

// name is the number of a text that many letters have in common.
type name uint32

// longestName bounds what is kept of a text that an outsider may have written.
const longestName = 128

type names struct {
	numbers map[string]name
	texts   []string
}

func (n *names) of(text string) name {
	text = strings.Clone(text[:min(len(text), longestName)])
	number, ok := n.numbers[text]
	if !ok {
		number = name(len(n.texts))
		n.numbers[text] = number
		n.texts = append(n.texts, text)
	}
	return number
}
