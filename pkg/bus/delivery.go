package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ackPrefix begins the reply subject of every message that JetStream delivers.
const ackPrefix = "$JS.ACK."

const (
	ackOK       = "+ACK"
	ackNak      = "-NAK"
	ackProgress = "+WPI"
	ackTerm     = "+TERM"
)

// delivery is a message as JetStream delivered it. It implements [jetstream.Msg] for
// Config.Read; the consumer itself acknowledges by [Consumer.send].
type delivery struct {
	nc   *nats.Conn
	msg  *nats.Msg
	meta *jetstream.MsgMetadata
}

var _ jetstream.Msg = (*delivery)(nil)

func newDelivery(nc *nats.Conn, msg *nats.Msg) (*delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read delivery: %w", err)
	}
	return &delivery{nc: nc, msg: msg, meta: &jetstream.MsgMetadata{
		Sequence:     jetstream.SequencePair{Consumer: meta.Sequence.Consumer, Stream: meta.Sequence.Stream},
		NumDelivered: meta.NumDelivered, NumPending: meta.NumPending, Timestamp: meta.Timestamp,
		Stream: meta.Stream, Consumer: meta.Consumer, Domain: meta.Domain,
	}}, nil
}

func (d *delivery) Metadata() (*jetstream.MsgMetadata, error) { return d.meta, nil }
func (d *delivery) Data() []byte                              { return d.msg.Data }
func (d *delivery) Headers() nats.Header                      { return d.msg.Header }
func (d *delivery) Subject() string                           { return d.msg.Subject }
func (d *delivery) Reply() string                             { return d.msg.Reply }

func (d *delivery) Ack() error                    { return d.send(ackOK) }
func (d *delivery) Nak() error                    { return d.send(ackNak) }
func (d *delivery) InProgress() error             { return d.send(ackProgress) }
func (d *delivery) Term() error                   { return d.send(ackTerm) }
func (d *delivery) TermWithReason(r string) error { return d.send(ackTerm + " " + r) }
func (d *delivery) NakWithDelay(delay time.Duration) error {
	return d.send(fmt.Sprintf(`%s {"delay": %d}`, ackNak, delay.Nanoseconds()))
}

func (d *delivery) DoubleAck(ctx context.Context) error { return d.confirm(ctx, ackOK) }

func (d *delivery) send(answer string) error {
	return d.nc.Publish(d.msg.Reply, []byte(answer))
}

// confirm sends an answer and waits until the server has taken it.
func (d *delivery) confirm(ctx context.Context, answer string) error {
	_, err := d.nc.RequestWithContext(ctx, d.msg.Reply, []byte(answer))
	return err
}
