package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ackPrefix begins the reply subject of every message that JetStream delivers.
const ackPrefix = "$JS.ACK."

// Answers to a delivery.
const (
	ackNak      = "-NAK"
	ackProgress = "+WPI"
	ackTerm     = "+TERM"
)

// delivery is a message as JetStream delivered it. It implements [jetstream.Msg] for
// Config.Read; the consumer itself acknowledges in bursts.
type delivery struct {
	receipt
	nc  *nats.Conn
	msg *nats.Msg
}

var _ jetstream.Msg = (*delivery)(nil)

func (d *delivery) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{
		Sequence:     jetstream.SequencePair{Consumer: d.consumed, Stream: d.sequence},
		NumDelivered: d.delivered, NumPending: d.pending, Timestamp: time.Unix(0, d.stored),
		Stream: d.stream, Consumer: d.consumer, Domain: d.domain,
	}, nil
}

func (d *delivery) Data() []byte         { return d.msg.Data }
func (d *delivery) Headers() nats.Header { return d.msg.Header }
func (d *delivery) Subject() string      { return d.msg.Subject }
func (d *delivery) Reply() string        { return d.msg.Reply }

func (d *delivery) Ack() error                    { return d.send("+ACK") }
func (d *delivery) Nak() error                    { return d.send(ackNak) }
func (d *delivery) InProgress() error             { return d.send(ackProgress) }
func (d *delivery) Term() error                   { return d.send(ackTerm) }
func (d *delivery) TermWithReason(r string) error { return d.send(ackTerm + " " + r) }
func (d *delivery) NakWithDelay(delay time.Duration) error {
	return d.send(fmt.Sprintf(`%s {"delay": %d}`, ackNak, delay.Nanoseconds()))
}

func (d *delivery) DoubleAck(ctx context.Context) error { return d.confirm(ctx, "+ACK") }

func (d *delivery) send(answer string) error {
	return d.nc.Publish(d.msg.Reply, []byte(answer))
}

// confirm sends an answer and waits until the server has taken it.
func (d *delivery) confirm(ctx context.Context, answer string) error {
	_, err := d.nc.RequestWithContext(ctx, d.msg.Reply, []byte(answer))
	return err
}

// receipt is what the reply subject of a delivery tells.
type receipt struct {
	domain, stream, consumer string

	delivered uint64 // how often, this time included
	sequence  uint64 // in the stream
	consumed  uint64 // number of the delivery among all of the consumer
	stored    int64  // when the stream stored the message, in nanoseconds since 1970
	pending   uint64 // messages still to come
}

var errReply = errors.New("not the reply subject of a delivery")

// readReceipt reads $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumed>.<stored>.<pending>,
// or the newer form with the domain, "_" for none, and a hash of the account before the
// stream, and possibly more at the end.
func readReceipt(reply string) (receipt, error) {
	rest, ok := strings.CutPrefix(reply, ackPrefix)
	if !ok {
		return receipt{}, fmt.Errorf("%w: %q", errReply, reply)
	}
	var r receipt
	switch tokens := strings.Count(rest, ".") + 1; {
	case tokens >= 9:
		r.domain, rest, _ = strings.Cut(rest, ".")
		_, rest, _ = strings.Cut(rest, ".")
		if r.domain == "_" {
			r.domain = ""
		}
	case tokens != 7:
		return receipt{}, fmt.Errorf("%w: %q", errReply, reply)
	}
	r.stream, rest, _ = strings.Cut(rest, ".")
	r.consumer, rest, _ = strings.Cut(rest, ".")
	var numbers [5]uint64
	for i := range numbers {
		var token string
		token, rest, _ = strings.Cut(rest, ".")
		n, err := strconv.ParseUint(token, 10, 64)
		if err != nil {
			return receipt{}, fmt.Errorf("%w: %q", errReply, reply)
		}
		numbers[i] = n
	}
	r.delivered, r.sequence, r.consumed, r.pending = numbers[0], numbers[1], numbers[2], numbers[4]
	r.stored = int64(numbers[3])
	return r, nil
}
