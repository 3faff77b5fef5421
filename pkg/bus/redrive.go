package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

const (
	redriveSuffix = "-redrive"
	redriveToken  = "redrive" // second token of redrive messages; no group has this name
)

// askRedrive stores the message that asks d's group to handle d's message anew. It
// names the letter and holds nothing of the message: what is erased or discarded
// meanwhile is gone from here too. Asking again for a letter that is still waiting
// stores nothing.
func askRedrive(ctx context.Context, js jetstream.JetStream, d DeadLetter) error {
	header := letterHead(DeadLetter{
		ID: d.ID, Consumer: d.Consumer, Stream: d.Stream, Sequence: d.Sequence, Subject: d.Subject, Attempts: d.Attempts,
	})
	header[letterPosition] = []string{strconv.FormatUint(d.Position, 10)}
	telemetry.Inject(ctx, header)
	m := &nats.Msg{Subject: letterSubject(redriveToken+"."+d.Consumer, d.Subject), Header: header}
	dedupe := redriveToken + "." + d.ID + "." + strconv.FormatUint(d.Position, 10)
	ack, err := storeLetter(ctx, js, m, dedupe)
	if err == nil && ack.Duplicate {
		_, err = streamReader{js: js, stream: DeadLetterStream}.at(ctx, ack.Sequence)
		if errors.Is(err, errNoMessage) { // the earlier one was deleted by hand
			_, err = storeLetter(ctx, js, m, dedupe+"."+event.NewID())
		}
	}
	if err != nil {
		return fmt.Errorf("redrive dead letter %s: %w", d.ID, err)
	}
	return nil
}

// redriver handles the messages that [askRedrive] stored. A letter is deleted once its
// message was handled, or once the renewed letter is stored; a crash in between means
// that the message is handled once more.
type redriver struct {
	js       jetstream.JetStream
	group    Group
	cfg      Config
	handlers handlers
	letters  streamReader
}

// newRedriven returns the consumer of redrive messages for a group.
func newRedriven(js jetstream.JetStream, g Group, cfg Config, all handlers) *Consumer {
	r := &redriver{js: js, group: g, cfg: cfg, handlers: all, letters: streamReader{js: js, stream: DeadLetterStream}}
	again := g
	again.Stream, again.Redrive = DeadLetterStream, false
	again.Name, _ = RedriveConsumer(g.Name)
	c := Consume(js, again, Config{Log: cfg.Log, Meters: cfg.Meters, Key: r.key, Erases: true}, OnMessage(r.handle))
	c.giveUp = r.renew
	return c
}

// key is the lane of the message that is handled anew.
func (r *redriver) key(m Message) string {
	letter, err := ParseDeadLetter(m.Header, nil)
	if err != nil {
		return m.Subject
	}
	return r.cfg.Key(Message{Subject: letter.Subject, Stream: letter.Stream, Sequence: letter.Sequence})
}

// handle runs the group's handler on the message of the letter that m names. A letter
// that is gone was handled, discarded or erased: then nothing is left to do.
func (r *redriver) handle(ctx context.Context, m Message) error {
	asked, err := r.parse(m.Header)
	if err != nil {
		return dropAs(ReasonUndecodable, err)
	}
	letter, others, err := r.find(ctx, asked, m)
	if errors.Is(err, errNoMessage) {
		return nil
	}
	if err != nil {
		return err
	}
	original, err := originalOf(ctx, r.js, letter)
	if err != nil {
		return err
	}
	original.Attempt = m.Attempt
	if err := r.run(ctx, original); err != nil {
		return err
	}
	for _, position := range append(others, letter.Position) {
		if _, err := r.letters.remove(ctx, position); err != nil {
			return err
		}
	}
	return nil
}

// parse reads which letter a redrive message names.
func (r *redriver) parse(header nats.Header) (DeadLetter, error) {
	asked, err := ParseDeadLetter(header, nil)
	if err != nil {
		return DeadLetter{}, err
	}
	if asked.Position, err = strconv.ParseUint(header.Get(letterPosition), 10, 64); err != nil {
		return DeadLetter{}, fmt.Errorf("%w: %s: %w", ErrNotALetter, letterPosition, err)
	}
	if asked.Consumer != r.group.Name || asked.Stream != r.group.Stream || asked.ID != asked.deriveID() {
		return DeadLetter{}, fmt.Errorf("%w: it names no letter of this group", ErrNotALetter)
	}
	return asked, nil
}

// find returns the letter that is asked for. After an earlier attempt, which may have
// been cut short when the renewed letter was stored and the old one not yet deleted,
// the renewed one counts, and the old one is among the others.
func (r *redriver) find(ctx context.Context, asked DeadLetter, m Message) (letter DeadLetter, others []uint64, err error) {
	var found []DeadLetter
	at, err := r.letters.at(ctx, asked.Position)
	if err == nil {
		found = appendLetter(found, asked, at)
	} else if !errors.Is(err, errNoMessage) {
		return DeadLetter{}, nil, err
	}
	if len(found) == 0 || m.Attempt > 1 {
		if found, err = r.later(ctx, found, asked, m.Sequence); err != nil {
			return DeadLetter{}, nil, err
		}
	}
	if len(found) == 0 {
		return DeadLetter{}, nil, errNoMessage
	}
	newest := len(found) - 1
	for _, d := range found[:newest] {
		others = append(others, d.Position)
	}
	return found[newest], others, nil
}

// later appends the letters of the same message that were stored after sequence.
func (r *redriver) later(ctx context.Context, found []DeadLetter, asked DeadLetter, sequence uint64) ([]DeadLetter, error) {
	subject := letterSubject(asked.Consumer, asked.Subject)
	for {
		m, err := r.letters.next(ctx, sequence+1, subject)
		if errors.Is(err, errNoMessage) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		found, sequence = appendLetter(found, asked, m), m.Sequence
	}
}

// appendLetter appends m if it is a letter of the message that is asked for.
func appendLetter(found []DeadLetter, asked DeadLetter, m storedMessage) []DeadLetter {
	letter, genuine := openLetter(m)
	if genuine && letter.ID == asked.ID {
		found = append(found, letter)
	}
	return found
}

// run handles a message as if it came from its stream.
func (r *redriver) run(ctx context.Context, m Message) error {
	if r.handlers.message != nil {
		return r.handlers.message(ctx, m)
	}
	read := r.cfg.Read
	if read == nil {
		read = readEvent
	}
	e, genuine, err := read(ctx, redelivery{m})
	if err != nil || !genuine {
		return err
	}
	handle, ok := r.handlers.byType[e.Type]
	if !ok {
		return dropAs(ReasonForeign, fmt.Errorf("%w: %q is not what this group handles", event.ErrUnknownType, e.Type))
	}
	return handle(event.CausedBy(telemetry.FromEvent(ctx, e), e), e)
}

// readEvent is what reads a message when [Config.Read] does not.
func readEvent(_ context.Context, msg jetstream.Msg) (event.Event, bool, error) {
	e, err := event.Decode(msg.Headers(), msg.Data())
	if err != nil {
		return event.Event{}, false, dropAs(ReasonUndecodable, err)
	}
	meta, err := msg.Metadata()
	if err != nil {
		return event.Event{}, false, fmt.Errorf("read delivery: %w", err)
	}
	e.Stream, e.Sequence = meta.Stream, meta.Sequence.Stream
	return e, true, nil
}

// renew stores the letter of a message that failed again, with its history, in place
// of the letter that was redriven; failure is about the redrive message. It may be
// repeated until it succeeds.
func (r *redriver) renew(ctx context.Context, failure DeadLetter) error {
	asked, err := r.parse(failure.Header)
	if err != nil {
		return PublishDeadLetter(ctx, r.js, failure) // an outsider published it
	}
	at, err := r.letters.at(ctx, asked.Position)
	if errors.Is(err, errNoMessage) {
		return nil // renewed by an earlier try, or taken away
	}
	if err != nil {
		return err
	}
	letter, genuine := openLetter(at)
	if !genuine || letter.ID != asked.ID {
		return nil
	}
	renewed := letter.renewed(failure)
	renewed.Position, err = r.store(ctx, renewed, failure.Sequence)
	if tooLarge(err) {
		r.cfg.Log.WarnContext(ctx, "dead letter stays as it is: a renewed one would have to leave out part of the message",
			"group", r.group.Name, "letter_id", letter.ID, "error", failure.Error)
		return nil
	}
	if err != nil {
		return err
	}
	was, err := r.letters.remove(ctx, letter.Position)
	if err != nil || was {
		return err
	}
	// Erased, discarded or renewed by another instance just now. One more attempt on the
	// renewed letter tells: what is erased is not genuine any more, and its letter goes.
	return askRedrive(ctx, r.js, renewed)
}

// store publishes a renewed letter, whole or not at all, and returns its position. The
// same redrive message renews a letter once.
func (r *redriver) store(ctx context.Context, d DeadLetter, redrive uint64) (position uint64, err error) {
	header, data := encodeLetter(d, int(r.js.Conn().MaxPayload()))
	if header.Get(letterTruncated) != d.Truncated {
		return 0, nats.ErrMaxPayload
	}
	m := &nats.Msg{Subject: letterSubject(d.Consumer, d.Subject), Header: header, Data: data}
	ack, err := storeLetter(ctx, r.js, m, "renewed."+d.ID+"."+strconv.FormatUint(redrive, 10))
	if err != nil {
		return 0, fmt.Errorf("renew dead letter %s: %w", d.ID, err)
	}
	return ack.Sequence, nil
}
