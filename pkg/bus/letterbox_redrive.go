package bus

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// NotRedrivableError says why a letter cannot be redriven. The reason is fit for
// whoever asked.
type NotRedrivableError struct{ Reason string }

// Error returns the reason.
func (e *NotRedrivableError) Error() string { return "the dead letter cannot be redriven: " + e.Reason }

// ErrLettersFull says that the stream of dead letters takes no more messages, and so
// none that redrives a letter either, until letters are discarded or its limits raised.
var ErrLettersFull = errors.New("the stream of dead letters is full")

// ErrLetterCursor says that a cursor does not come from the call it was given to.
var ErrLetterCursor = errors.New("not a cursor of this list")

// codeStoreFailed is what the server says when a stream that discards new messages has
// no room.
const codeStoreFailed jetstream.ErrorCode = 10077

// Redrive has the group of a letter handle its message anew, out of the order of its
// aggregate: the same handlers, as if it came from its stream, for as many attempts as
// at first. It returns when that is stored, and the rest happens even if every process
// dies meanwhile. The letter stays until the message was handled. If that fails again,
// a renewed letter takes its place under the same id, with what went before.
//
// The message is handled at least once, however often this is called. Errors are
// [ErrNoLetter], [*NotRedrivableError], [ErrLettersFull] and trouble with NATS.
func (b *Letterbox) Redrive(ctx context.Context, id string) error {
	letter, err := b.Get(ctx, id)
	if err != nil {
		return err
	}
	return b.redrive(ctx, letter, make(map[string]error))
}

// redrive remembers in groups which of them take redriven letters.
func (b *Letterbox) redrive(ctx context.Context, d DeadLetter, groups map[string]error) error {
	if d.Stream == DeadLetterStream && d.Sequence == d.Position {
		return &NotRedrivableError{Reason: "it is no dead letter, somebody else published it"}
	}
	takes, known := groups[d.Consumer]
	if !known {
		takes = takesRedriven(ctx, b.js, d.Consumer)
		groups[d.Consumer] = takes
	}
	switch {
	case errors.Is(takes, jetstream.ErrConsumerNotFound), errors.Is(takes, jetstream.ErrInvalidConsumerName):
		return &NotRedrivableError{Reason: "its consumer takes no redriven letters"}
	case takes != nil:
		return takes
	}
	_, err := originalOf(ctx, b.js, d)
	if errors.Is(err, errOriginalGone) {
		return &NotRedrivableError{Reason: errOriginalGone.Error()}
	}
	if err != nil {
		return err
	}
	err = askRedrive(ctx, b.js, d)
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == codeStoreFailed {
		return fmt.Errorf("%w: %w", ErrLettersFull, err)
	}
	return err
}

// Redriven is what became of a number of letters.
type Redriven struct {
	Letters int       // are being redriven
	Skipped []Skipped // cannot be
	Next    string    // cursor of the letters that are left; empty when there are none
}

// Skipped is a letter that cannot be redriven, and why.
type Skipped struct {
	ID     string
	Reason string
}

// RedriveAll redrives the letters that f chooses, at most limit of them, in the order
// in which their messages lay in their streams; after is Next of the call before, and
// empty for the first. See [Letterbox.Redrive]; when an error ends it early, calling it
// again is safe. A letter that fails again while this goes on is not met twice, since
// its place is that of its message.
func (b *Letterbox) RedriveAll(ctx context.Context, f LetterFilter, after string, limit int) (Redriven, error) {
	start, err := parsePlace(after)
	if err != nil {
		return Redriven{}, err
	}
	if err := b.refresh(ctx); err != nil {
		return Redriven{}, err
	}
	b.mu.Lock()
	places := b.index.inOrder(f)
	b.mu.Unlock()
	var done Redriven
	groups := make(map[string]error)
	for i, place := range places {
		if after != "" && place.compare(start) <= 0 {
			continue
		}
		if done.Letters+len(done.Skipped) >= limit {
			done.Next = places[i-1].cursor()
			return done, nil
		}
		letter, err := b.open(ctx, place.position)
		if errors.Is(err, errNoMessage) {
			continue
		}
		if err == nil {
			err = b.redrive(ctx, letter, groups)
		}
		no, refused := errors.AsType[*NotRedrivableError](err)
		switch {
		case refused:
			done.Skipped = append(done.Skipped, Skipped{ID: place.id, Reason: no.Reason})
		case err != nil:
			return done, err
		default:
			done.Letters++
		}
	}
	return done, nil
}

func (p letterPlace) cursor() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", p.sequence, p.stream))
}

// parsePlace returns the place behind all letters of the message that a cursor names.
func parsePlace(cursor string) (letterPlace, error) {
	if cursor == "" {
		return letterPlace{}, nil
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return letterPlace{}, fmt.Errorf("%w: %w", ErrLetterCursor, err)
	}
	sequence, stream, ok := strings.Cut(string(text), " ")
	p := letterPlace{stream: stream, position: ^uint64(0)}
	if p.sequence, err = strconv.ParseUint(sequence, 10, 64); err != nil || !ok {
		return letterPlace{}, fmt.Errorf("%w: it names no place", ErrLetterCursor)
	}
	return p, nil
}
