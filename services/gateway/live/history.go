package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/timeline"
)

// maxScans bounds how many readers of one history catch up at once by reading all of
// it; others wait for their turn.
const maxScans = 8

// ErrGone says that not all that came after a position is still in the stream.
var ErrGone = errors.New("events are gone")

// history is a [History] with what it takes to read it.
type history struct {
	History

	js    jetstream.JetStream
	store *eventstore.Store
	log   *slog.Logger
	scans chan struct{} // holds a place for each scan
}

func newHistory(h History, js jetstream.JetStream, log *slog.Logger) *history {
	return &history{
		History: h, js: js, store: eventstore.New(js, h.Stream, h.Events), log: log,
		scans: make(chan struct{}, maxScans),
	}
}

// start is where somebody begins to listen to a history.
type start struct {
	history *history
	wanted  []pattern
	began   time.Time // the stream's timeline: another of the same name has another time
	after   uint64
	last    uint64 // what the stream had last
}

// start returns where a reader begins who has come as far as at says: after what the
// stream has now, unless at names it.
func (h *history) start(ctx context.Context, at positions) (start, error) {
	info, err := h.look(ctx)
	if err != nil {
		return start{}, endpoint.Unavailable("the history can't be read now").After(time.Second).Because(err)
	}
	now, err := timeline.Of(info)
	if err != nil {
		return start{}, endpoint.Unavailable("the history can't be read now").Because(err)
	}
	s := start{history: h, began: now.Began, last: info.State.LastSeq, after: info.State.LastSeq}
	after, ok := at[h.Stream.Name]
	if !ok {
		return s, nil
	}
	s.after = after
	switch {
	case after > info.State.LastSeq:
		return start{}, invalid(headerLastEventID, fmt.Sprintf("is beyond the end of the stream: %s=%d", h.Stream.Name, info.State.LastSeq))
	case after+1 < info.State.FirstSeq:
		return start{}, endpoint.Invalid(fmt.Sprintf("not all that came after this position is still there: %s begins at %d", h.Stream.Name, info.State.FirstSeq)).Because(ErrGone)
	default:
		return s, nil
	}
}

func (h *history) look(ctx context.Context) (*jetstream.StreamInfo, error) {
	stream, err := h.js.Stream(ctx, h.Stream.Name)
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", h.Stream.Name, err)
	}
	return stream.CachedInfo(), nil
}

// intact returns ErrGone unless all that lay in the stream after position still does.
// Messages that erasure deletes are none.
func (h *history) intact(ctx context.Context, began time.Time, position uint64) error {
	info, err := h.look(ctx)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("%w: stream %s was deleted", ErrGone, h.Stream.Name)
	case err != nil:
		return err
	}
	switch now, err := timeline.Of(info); {
	case err != nil:
		return err
	case !now.Holds(began, position):
		return fmt.Errorf("%w: stream %s was made anew, or restored to an earlier point", ErrGone, h.Stream.Name)
	case position > info.State.LastSeq:
		return fmt.Errorf("%w: stream %s ends at %d", ErrGone, h.Stream.Name, info.State.LastSeq)
	case position+1 < info.State.FirstSeq:
		return fmt.Errorf("%w: stream %s begins at %d", ErrGone, h.Stream.Name, info.State.FirstSeq)
	default:
		return nil
	}
}

// tape is a history as it is read from a position on.
type tape struct {
	history  *history
	began    time.Time
	reader   *eventstore.Reader
	pull     *pull
	position uint64
	verified uint64 // so far nothing was missing
	doubt    bool   // messages may be missing after that
}

// item is one message of a history. Without sequence it is silence.
type item struct {
	sequence uint64
	pending  uint64       // messages that lie behind it
	event    *event.Event // nil for what is not genuine
}

// open returns the tape of what lies after position. An error is ErrGone when that is
// not all there any more.
func (h *history) open(ctx context.Context, began time.Time, position uint64) (*tape, error) {
	if err := h.intact(ctx, began, position); err != nil {
		return nil, err
	}
	p, err := openPull(ctx, h.js, h.Stream.Name, position)
	if err != nil {
		return nil, err
	}
	return &tape{history: h, began: began, reader: h.store.Reader(), pull: p, position: position, verified: position}, nil
}

func (t *tape) close(ctx context.Context) { t.pull.close(ctx) }

// verify returns ErrGone unless what is missing in what was read since the last time
// was deleted message by message. Ask before passing on what was read, and in silence,
// which may come of there being nothing left.
func (t *tape) verify(ctx context.Context) error {
	if t.doubt {
		if err := t.history.intact(ctx, t.began, t.verified); err != nil {
			return err
		}
	}
	t.verified, t.doubt = t.position, false
	return nil
}

// next returns the next message.
func (t *tape) next(ctx context.Context) (item, error) {
	d, err := t.pull.next(ctx)
	if err != nil {
		return item{}, err
	}
	if d.sequence == 0 {
		t.doubt = true
		return item{}, nil
	}
	t.doubt = t.doubt || d.sequence > t.position+1
	i := item{sequence: d.sequence, pending: d.pending}
	if strings.Count(d.subject, ".") == 2 { // and not a claim
		e, err := t.reader.Check(ctx, d.subject, d.header, d.data, d.sequence)
		switch {
		case errors.Is(err, &eventstore.ForeignError{}), eventstore.IsErased(err):
		case err != nil && !event.Unreadable(err): // others may read what a newer program wrote
			return item{}, err
		default:
			i.event = &e
		}
	}
	t.position = d.sequence
	return i, nil
}

// connected returns a context that ends when the connection to NATS is lost or comes
// back: what was asked for before then does not come. done must be called.
func (h *history) connected(ctx context.Context) (connected context.Context, done func()) {
	connected, cancel := context.WithCancelCause(ctx)
	nc := h.js.Conn()
	status := nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	var watching sync.WaitGroup
	watching.Go(func() {
		defer nc.RemoveStatusListener(status)
		select {
		case <-status:
			cancel(fmt.Errorf("%w: the connection was lost", errInterrupted))
		case <-connected.Done():
		}
	})
	return connected, func() {
		cancel(nil)
		watching.Wait()
	}
}

// because returns why ctx ended, if it has, since what fails after that fails because
// of it.
func because(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// entry returns e as it is sent: the CloudEvent in JSON format with its position, on
// one line.
func (h *history) entry(e event.Event) (entry, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return entry{}, fmt.Errorf("encode %s at %d of stream %s: %w", e.Type, e.Sequence, e.Stream, err)
	}
	line := jsontext.Value(body)
	if err := line.Compact(); err != nil {
		return entry{}, fmt.Errorf("encode %s at %d of stream %s: %w", e.Type, e.Sequence, e.Stream, err)
	}
	frame := make([]byte, 0, len(line)+len(e.Type)+len("event: \ndata: \n"))
	frame = append(append(append(frame, "event: "...), e.Type...), "\ndata: "...)
	frame = append(append(frame, line...), '\n')
	return entry{sequence: e.Sequence, kind: kindOf(e.Type), id: e.Subject, frame: frame}, nil
}

// kindOf returns "created" of "order.created".
func kindOf(eventType string) string {
	_, kind, _ := strings.Cut(eventType, ".")
	return kind
}
