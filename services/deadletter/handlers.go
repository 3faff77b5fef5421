package deadletter

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"log/slog"

	"sluice/pkg/bus"
	"sluice/pkg/endpoint"
	"sluice/services/deadletter/deadletterapi"
)

type handlers struct {
	letters *bus.Letterbox
	log     *slog.Logger
}

const (
	defaultPage    = 50
	defaultRedrive = 100
)

func (h handlers) list(ctx context.Context, req deadletterapi.ListRequest) (deadletterapi.ListResponse, error) {
	before, err := position(req.Cursor)
	if err != nil {
		return deadletterapi.ListResponse{}, err
	}
	page := deadletterapi.ListResponse{Items: []deadletterapi.Letter{}}
	limit, room := cmp.Or(req.Limit, defaultPage), largestPage
	for letter, err := range h.letters.List(ctx, chosenBy(req.Filter), before) {
		if err != nil {
			return deadletterapi.ListResponse{}, err
		}
		shown, size := show(letter)
		if room -= size; len(page.Items) == limit || room < 0 && len(page.Items) > 0 {
			page.Next = cursor(page.Items[len(page.Items)-1].Position)
			return page, nil
		}
		page.Items = append(page.Items, shown)
	}
	return page, nil
}

func (h handlers) get(ctx context.Context, req deadletterapi.GetRequest) (deadletterapi.Letter, error) {
	letter, err := h.letters.Get(ctx, req.ID)
	if err != nil {
		return deadletterapi.Letter{}, coded(err)
	}
	shown, _ := show(letter)
	return shown, nil
}

// redrive may run twice: the message is handled at least once either way.
func (h handlers) redrive(ctx context.Context, req deadletterapi.RedriveRequest) (deadletterapi.RedriveResponse, error) {
	letter, err := h.letters.Get(ctx, req.ID)
	if err == nil {
		err = h.letters.Redrive(ctx, req.ID)
	}
	if err != nil {
		return deadletterapi.RedriveResponse{}, coded(err)
	}
	h.log.InfoContext(ctx, "dead letter redriven", "letter_id", letter.ID, "consumer", letter.Consumer)
	return deadletterapi.RedriveResponse{ID: letter.ID, Consumer: letter.Consumer}, nil
}

func (h handlers) redriveAll(ctx context.Context, req deadletterapi.RedriveAllRequest) (deadletterapi.RedriveAllResponse, error) {
	done, err := h.letters.RedriveAll(ctx, chosenBy(req.Filter), req.Cursor, cmp.Or(req.Limit, defaultRedrive))
	if err != nil {
		return deadletterapi.RedriveAllResponse{}, coded(err)
	}
	h.log.InfoContext(ctx, "dead letters redriven", "redriven", done.Letters, "skipped", len(done.Skipped))
	res := deadletterapi.RedriveAllResponse{Redriven: done.Letters, Skipped: make([]deadletterapi.Skipped, len(done.Skipped)), Next: done.Next}
	for i, s := range done.Skipped {
		res.Skipped[i] = deadletterapi.Skipped{ID: s.ID, Reason: s.Reason}
	}
	return res, nil
}

func (h handlers) discard(ctx context.Context, req deadletterapi.DiscardRequest) (deadletterapi.DiscardResponse, error) {
	if err := h.letters.Discard(ctx, req.ID); err != nil {
		return deadletterapi.DiscardResponse{}, coded(err)
	}
	h.log.InfoContext(ctx, "dead letter discarded", "letter_id", req.ID)
	return deadletterapi.DiscardResponse(req), nil
}

func chosenBy(f deadletterapi.Filter) bus.LetterFilter {
	return bus.LetterFilter{Consumer: f.Consumer, Type: f.Type, Reason: bus.Reason(f.Reason), From: f.From, To: f.To}
}

// coded gives an error the code that it has for the caller.
func coded(err error) error {
	if no, ok := errors.AsType[*bus.NotRedrivableError](err); ok {
		return endpoint.Conflict("the dead letter cannot be redriven: " + no.Reason).Because(err)
	}
	switch {
	case errors.Is(err, bus.ErrNoLetter):
		return endpoint.NotFound("there is no such dead letter").Because(err)
	case errors.Is(err, bus.ErrLettersFull):
		return endpoint.Unavailable("the stream of dead letters is full: discard some, or raise its limits").Because(err)
	case errors.Is(err, bus.ErrLetterCursor):
		return malformedCursor().Because(err)
	default:
		return err
	}
}

func malformedCursor() *endpoint.Error {
	return endpoint.Invalid("the cursor is malformed", endpoint.FieldError{Field: "cursor", Message: "is malformed"})
}

// cursor is the position of the last letter of a page, as an opaque text.
func cursor(position uint64) string {
	return base64.RawURLEncoding.EncodeToString(binary.AppendUvarint(nil, position))
}

// position reads a cursor; 0 is the beginning of the list.
func position(cursor string) (uint64, error) {
	if cursor == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return 0, malformedCursor().Because(err)
	}
	position, n := binary.Uvarint(b)
	if n != len(b) || position == 0 {
		return 0, malformedCursor()
	}
	return position, nil
}
