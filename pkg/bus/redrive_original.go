package bus

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// errOriginalGone says that a letter has only a part of its message, and that the
// whole is not in its stream any more.
var errOriginalGone = errors.New("the letter holds only a part of the message, and the message is gone from its stream")

// originalOf returns the message that d is about. What the letter had to leave out is
// read from where the message lay.
func originalOf(ctx context.Context, js jetstream.JetStream, d DeadLetter) (Message, error) {
	m := Message{
		Subject: d.Subject, Header: d.Header, Data: d.Data, Stream: d.Stream, Sequence: d.Sequence, Time: d.StoredAt,
	}
	if m.Time.IsZero() {
		m.Time = d.FirstAt
	}
	if d.Truncated == "" {
		return m, nil
	}
	stored, err := streamReader{js: js, stream: d.Stream}.at(ctx, d.Sequence)
	api, refused := errors.AsType[*jetstream.APIError](err)
	switch {
	case errors.Is(err, errNoMessage), refused && api.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return Message{}, Drop(errOriginalGone)
	case err != nil:
		return Message{}, err
	case stored.Subject != d.Subject || !bytes.HasPrefix(stored.Data, d.Data) || !d.StoredAt.IsZero() && !stored.Time.Equal(d.StoredAt):
		return Message{}, Drop(errOriginalGone) // the stream was made anew
	}
	m.Header, m.Data, m.Time = stored.Header, stored.Data, stored.Time.UTC()
	return m, nil
}

// redelivery is a redriven message as [Config.Read] wants to see it. Its answers go
// nowhere, since it is the redrive message that is acknowledged.
type redelivery struct{ m Message }

var _ jetstream.Msg = redelivery{}

func (d redelivery) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{
		Sequence:     jetstream.SequencePair{Stream: d.m.Sequence},
		NumDelivered: uint64(max(d.m.Attempt, 1)), Timestamp: d.m.Time, Stream: d.m.Stream,
	}, nil
}

func (d redelivery) Data() []byte                   { return d.m.Data }
func (d redelivery) Headers() nats.Header           { return d.m.Header }
func (d redelivery) Subject() string                { return d.m.Subject }
func (redelivery) Reply() string                    { return "" }
func (redelivery) Ack() error                       { return nil }
func (redelivery) DoubleAck(context.Context) error  { return nil }
func (redelivery) Nak() error                       { return nil }
func (redelivery) NakWithDelay(time.Duration) error { return nil }
func (redelivery) InProgress() error                { return nil }
func (redelivery) Term() error                      { return nil }
func (redelivery) TermWithReason(string) error      { return nil }
