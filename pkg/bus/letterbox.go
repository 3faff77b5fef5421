package bus

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/timeline"
)

// ErrNoLetter says that no dead letter has this id (any more).
var ErrNoLetter = errors.New("no such dead letter")

// Letterbox finds dead letters, and redrives or discards them. It is safe for
// concurrent use, and any number of processes may have one each: what counts is what
// lies in the stream of dead letters, and every call sees all letters that were stored
// before it.
//
// To find letters by id and to filter them it keeps an index in memory, about 120
// bytes a letter, and brings it up to date with each call: two round trips to the
// stream's leader when nothing is new. So the first call of a process reads all letters,
// which takes seconds for tens of thousands. The stream's limit on bytes bounds both.
//
// Of several letters of one message, which a crash at the wrong moment may leave, the
// latest counts. What lies in the stream and is no letter, since somebody published it
// by hand, is shown as one with [ReasonForeign], with itself as the message: it can be
// discarded and not redriven.
type Letterbox struct {
	js      jetstream.JetStream
	letters streamReader

	mu    sync.Mutex
	index letterIndex
}

// NewLetterbox returns a letterbox for the stream [DeadLetterStream].
func NewLetterbox(js jetstream.JetStream) *Letterbox {
	return &Letterbox{js: js, letters: streamReader{js: js, stream: DeadLetterStream}, index: newLetterIndex()}
}

// LetterFilter chooses dead letters; the zero value chooses all.
type LetterFilter struct {
	Consumer string    // the group that gave up
	Type     string    // of the event: the attribute, else the first two tokens of the original subject
	Reason   Reason    // why it gave up last
	From     time.Time // the last failure was then or later
	To       time.Time // the last failure was earlier
}

// Get returns the letter with this id, else [ErrNoLetter].
func (b *Letterbox) Get(ctx context.Context, id string) (DeadLetter, error) {
	for {
		if err := b.refresh(ctx); err != nil {
			return DeadLetter{}, err
		}
		b.mu.Lock()
		position, ok := b.index.newest(id)
		b.mu.Unlock()
		if !ok {
			return DeadLetter{}, fmt.Errorf("%w: %s", ErrNoLetter, cut(strings.ToValidUTF8(id, "?"), 64))
		}
		letter, err := b.open(ctx, position)
		if !errors.Is(err, errNoMessage) { // else it is gone, or renewed since
			return letter, err
		}
	}
}

// open reads the message at a position as a letter. When it is gone, it goes from the
// index too.
func (b *Letterbox) open(ctx context.Context, position uint64) (DeadLetter, error) {
	m, err := b.letters.at(ctx, position)
	if errors.Is(err, errNoMessage) {
		b.mu.Lock()
		b.index.forget(position)
		b.mu.Unlock()
	}
	if err != nil {
		return DeadLetter{}, err
	}
	letter, _ := openLetter(m)
	return letter, nil
}

// openLetter reads a message of the stream of dead letters. One that is no letter, or
// claims to be another one, is shown as the message of a letter.
func openLetter(m storedMessage) (letter DeadLetter, genuine bool) {
	letter, err := ParseDeadLetter(m.Header, m.Data)
	switch {
	case err != nil:
	case letter.ID != letter.deriveID():
		err = fmt.Errorf("%w: its id is another letter's", ErrNotALetter)
	case m.Subject != letterSubject(letter.Consumer, letter.Subject):
		err = fmt.Errorf("%w: it is under the subject of another", ErrNotALetter)
	}
	if err == nil {
		letter.Position = m.Sequence
		return letter, true
	}
	tokens := strings.SplitN(m.Subject, ".", 3)
	letter = DeadLetter{
		Consumer: tokens[min(1, len(tokens)-1)], Reason: ReasonForeign, Error: oneLine(err.Error()),
		Stream: DeadLetterStream, Sequence: m.Sequence, Subject: m.Subject, Header: m.Header, Data: m.Data,
		FirstAt: m.Time.UTC(), LastAt: m.Time.UTC(), StoredAt: m.Time.UTC(), Position: m.Sequence,
	}
	letter.ID = event.DeriveID(DeadLetterStream, strconv.FormatUint(m.Sequence, 10))
	return letter, false
}

// List yields the letters that f chooses, the one stored last first. A renewed letter
// counts from when it failed last. With before, only letters whose Position is below it
// are yielded, so that a list can be continued while letters come and go. Each letter
// is read when its turn comes.
func (b *Letterbox) List(ctx context.Context, f LetterFilter, before uint64) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		if err := b.refresh(ctx); err != nil {
			yield(DeadLetter{}, err)
			return
		}
		for {
			b.mu.Lock()
			position, ok := b.index.below(before, f)
			b.mu.Unlock()
			if !ok {
				return
			}
			before = position
			letter, err := b.open(ctx, position)
			if errors.Is(err, errNoMessage) {
				continue
			}
			if !yield(letter, err) || err != nil {
				return
			}
		}
	}
}

// Discard overwrites and deletes the letter with this id, else it returns
// [ErrNoLetter]. If the letter is being redriven, the attempt under way is the last
// one, and its failure is not kept; but when the renewed letter is being stored at that
// very moment, it is there again afterwards, since nothing may get lost.
func (b *Letterbox) Discard(ctx context.Context, id string) error {
	letter, err := b.Get(ctx, id)
	if err != nil {
		return err
	}
	b.mu.Lock()
	positions := b.index.all(letter.ID)
	b.mu.Unlock()
	for _, position := range positions { // the latest last: until then the letter is there
		if _, err := b.letters.remove(ctx, position); err != nil {
			return fmt.Errorf("discard dead letter %s: %w", letter.ID, err)
		}
	}
	b.mu.Lock()
	b.index.forget(positions...)
	b.mu.Unlock()
	return nil
}

// refresh adds what was stored since the last time. What a call that runs out of time
// has read stays read.
func (b *Letterbox) refresh(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.catchUp(ctx)
	for err == nil {
		var m storedMessage
		if m, err = b.letters.next(ctx, b.index.last+1, ">"); err == nil {
			b.index.add(m)
		}
	}
	if errors.Is(err, errNoMessage) {
		return nil
	}
	return fmt.Errorf("look at dead letters: %w", err)
}

// few is how many messages are read one by one.
const few = 100

// catchUp reads most of what is new when that is much. It starts the index anew when
// the stream is another than the one it was read from, or when most of what it names
// has been deleted meanwhile. The caller holds mu.
func (b *Letterbox) catchUp(ctx context.Context) error {
	stream, err := b.js.Stream(ctx, DeadLetterStream)
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	now, err := timeline.Of(info)
	if err != nil {
		return err
	}
	if !now.Began.Equal(b.index.began) || info.State.LastSeq < b.index.last || b.index.stale(info.State.Msgs) {
		b.index = newLetterIndex()
		b.index.began = now.Began
	}
	for info.Config.AllowDirect && info.State.Msgs > few && info.State.LastSeq > b.index.last+few {
		n, err := b.letters.batch(ctx, b.index.last+1, b.index.add)
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		m, err := b.letters.next(ctx, b.index.last+1, ">")
		if err != nil {
			return err
		}
		b.index.add(m)
	}
	return nil
}
