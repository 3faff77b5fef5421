package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
)

// InboxKept is how long [Handler.Recorded] remembers an event by default.
const InboxKept = 7 * 24 * time.Hour

// The states of an event in an inbox.
const (
	inboxStarted = "started"
	inboxDone    = "done"
)

// Recorded returns a handler that keeps a record of what it has done, for effects that
// must not happen twice and cannot be told apart by themselves, such as a payment at
// somebody else's service. The record lies in [StateBucket], by group and event: it
// says that the handler has started, then that it is done. An event that is delivered
// again after it was done is not handled again. One that was only started is, and
// [Repeated] tells the handler, which can then ask the other side how far it got.
//
// An event is remembered for the time given, at least a second, counted from when it
// was done; zero means [InboxKept]. Two more writes are what that costs. What the
// handler appends to an event store needs no record: it is recognised by the event
// that caused it.
func (h Handler) Recorded(kept time.Duration) Handler {
	if kept <= 0 {
		kept = InboxKept
	}
	h.kept = max(kept, time.Second)
	return h
}

type repeatedKey struct{}

// Repeated reports, in the context of a handler made with [Handler.Recorded], whether
// it has run on the event before and was not done, as far as the record tells: it
// failed, the process ended, or the record that it was done could not be made.
func Repeated(ctx context.Context) bool {
	repeated, _ := ctx.Value(repeatedKey{}).(bool)
	return repeated
}

// inbox records what one handler of a group has done.
type inbox struct {
	js    jetstream.JetStream
	group string
	kept  time.Duration
	run   func(context.Context, event.Event) error
}

// handle runs the handler unless it is done with the event.
func (i inbox) handle(ctx context.Context, e event.Event) error {
	key := "inbox." + i.group + "." + event.DeriveID("inbox", e.Source, e.ID)
	state, err := i.begin(ctx, key)
	if err != nil {
		return fmt.Errorf("record that %s is handled: %w", e.ID, err)
	}
	if state == inboxDone {
		return nil
	}
	if err := i.run(context.WithValue(ctx, repeatedKey{}, state == inboxStarted), e); err != nil {
		return err
	}
	if err := put(context.WithoutCancel(ctx), i.js, key, []byte(inboxDone), i.kept); err != nil {
		return fmt.Errorf("record that %s was handled: %w", e.ID, err)
	}
	return nil
}

// begin returns the state of the event before this attempt, and records the attempt if
// it is the first.
func (i inbox) begin(ctx context.Context, key string) (state string, err error) {
	records := streamReader{js: i.js, stream: "KV_" + StateBucket}
	m, err := records.next(ctx, 1, "$KV."+StateBucket+"."+key)
	if errors.Is(err, errNoMessage) {
		err = put(ctx, i.js, key, []byte(inboxStarted), i.kept, jetstream.WithExpectLastSequencePerSubject(0))
		if api, ok := errors.AsType[*jetstream.APIError](err); !ok || api.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence {
			return "", err
		}
		m, err = records.next(ctx, 1, "$KV."+StateBucket+"."+key) // another process was faster
	}
	if err != nil {
		return "", err
	}
	return string(m.Data), nil
}
