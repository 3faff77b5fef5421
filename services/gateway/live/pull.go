package live

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	pullBatch      = 256
	pullBytes      = 1 << 20 // on their way
	pullHeartbeat  = 2 * time.Second
	pullInactivity = 30 * time.Second // after which the server forgets an abandoned one
	pullGoodbye    = time.Second
)

// errInterrupted says that a consumer can't go on: another one has to, after the last
// message.
var errInterrupted = errors.New("the reading of a stream was interrupted")

// pull takes the messages of a stream in order through an ephemeral consumer. It asks
// by itself, since nats.go takes an outsider's empty message with a Status header for
// word from the server. What the stream delivers has an acknowledgement subject as its
// reply; word from the server has none.
type pull struct {
	js       jetstream.JetStream
	consumer *jetstream.ConsumerInfo
	inbox    string
	sub      *nats.Subscription
	messages chan *nats.Msg

	delivered uint64
	request   int // number of the current one: word about those before it does not count
	expected  int // messages that it still asks for
}

// delivery is one message of a stream, or silence, which has no sequence.
type delivery struct {
	subject  string
	header   nats.Header
	data     []byte
	sequence uint64
	pending  uint64 // messages that lie behind it
}

// openPull returns a pull of what lies in a stream after position.
func openPull(ctx context.Context, js jetstream.JetStream, stream string, position uint64) (*pull, error) {
	consumer, err := js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Name:          "gateway_" + nuid.Next(),
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   position + 1,
		AckPolicy:     jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1,
		InactiveThreshold: pullInactivity,
	})
	if err != nil {
		return nil, fmt.Errorf("consume stream %s: %w", stream, err)
	}
	p := &pull{js: js, consumer: consumer.CachedInfo(), inbox: js.Conn().NewInbox(), messages: make(chan *nats.Msg, 2*pullBatch)}
	if p.sub, err = js.Conn().ChanSubscribe(p.inbox+".*", p.messages); err != nil {
		return nil, errors.Join(fmt.Errorf("consume stream %s: %w", stream, err), js.DeleteConsumer(ctx, stream, p.consumer.Name))
	}
	return p, nil
}

// close frees the consumer. Where that fails the server forgets it by itself.
func (p *pull) close(ctx context.Context) {
	_ = p.sub.Unsubscribe() // fails only on a closed connection
	if !p.js.Conn().IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pullGoodbye)
	defer cancel()
	_ = p.js.DeleteConsumer(ctx, p.consumer.Stream, p.consumer.Name)
}

// next waits for the next message, or for the server to say that there is none yet.
func (p *pull) next(ctx context.Context) (delivery, error) {
	for {
		if p.expected == 0 {
			if err := p.ask(); err != nil {
				return delivery{}, err
			}
		}
		msg, err := p.receive(ctx)
		if err != nil {
			return delivery{}, err
		}
		if !strings.HasPrefix(msg.Reply, "$JS.ACK.") {
			if silent, err := p.hear(msg); silent || err != nil {
				return delivery{}, err
			}
			continue
		}
		meta, err := msg.Metadata()
		if err != nil {
			return delivery{}, fmt.Errorf("read a delivery: %w", err)
		}
		p.delivered++
		p.expected = max(p.expected-1, 0)
		if meta.Sequence.Consumer != p.delivered {
			return delivery{}, fmt.Errorf("%w: messages were lost on the way", errInterrupted)
		}
		return delivery{subject: msg.Subject, header: msg.Header, data: msg.Data, sequence: meta.Sequence.Stream, pending: meta.NumPending}, nil
	}
}

// receive waits for a message or word from the server, which is never silent for long.
func (p *pull) receive(ctx context.Context) (*nats.Msg, error) {
	patience := time.NewTimer(3 * pullHeartbeat)
	defer patience.Stop()
	select {
	case msg := <-p.messages:
		return msg, nil
	case <-patience.C:
		return nil, fmt.Errorf("%w: the server is silent", errInterrupted)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *pull) ask() error {
	body, err := json.Marshal(struct {
		Expires   int64 `json:"expires"`
		Batch     int   `json:"batch"`
		MaxBytes  int   `json:"max_bytes"`
		Heartbeat int64 `json:"idle_heartbeat"`
	}{Expires: pullInactivity.Nanoseconds(), Batch: pullBatch, MaxBytes: pullBytes, Heartbeat: pullHeartbeat.Nanoseconds()})
	if err != nil {
		return fmt.Errorf("ask for messages: %w", err)
	}
	p.request, p.expected = p.request+1, pullBatch
	prefix := p.js.Options().APIPrefix
	if prefix == "" {
		prefix = jetstream.DefaultAPIPrefix
	}
	return p.js.Conn().PublishRequest(prefix+"CONSUMER.MSG.NEXT."+p.consumer.Stream+"."+p.consumer.Name, p.reply(), body)
}

// reply is where word about the current request comes to.
func (p *pull) reply() string { return p.inbox + "." + strconv.Itoa(p.request) }

// hear takes word from the server. silent says that it has nothing to deliver yet.
func (p *pull) hear(msg *nats.Msg) (silent bool, err error) {
	if msg.Subject != p.reply() {
		return false, nil
	}
	status, description := msg.Header.Get("Status"), msg.Header.Get("Description")
	switch {
	case status == "100":
		return true, nil
	case status == "408", status == "409" && (strings.EqualFold(description, "Batch Completed") || strings.EqualFold(description, "Message Size Exceeds MaxBytes")):
		p.expected = 0 // this request is over
		return false, nil
	default:
		return false, fmt.Errorf("%w: the consumer says %s %s", errInterrupted, status, description)
	}
}
