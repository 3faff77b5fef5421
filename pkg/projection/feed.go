package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

var (
	errConnection = errors.New("the connection was lost")
	errMissed     = errors.New("messages were lost on the way")
)

// feed is an ephemeral, ordered consumer that ends at the first sign of trouble
// instead of mending itself, so that whoever comes back looks at everything anew.
type feed struct {
	messages chan jetstream.Msg
	stop     func()
}

const (
	feedBuffer     = 1000
	feedHeartbeat  = 5 * time.Second
	feedInactivity = 30 * time.Second
	feedGoodbye    = time.Second
)

// openFeed consumes what config asks of a stream until stop is called. lost is
// called, perhaps several times, when the feed can't go on; a lost connection is for
// [guard] to notice.
func openFeed(ctx context.Context, s stream, config jetstream.ConsumerConfig, lost func(error)) (*feed, error) {
	config.Name = "projection_" + nuid.Next()
	config.AckPolicy = jetstream.AckNonePolicy
	config.MemoryStorage = true
	config.Replicas = 1
	config.InactiveThreshold = feedInactivity

	consumer, err := s.js.CreateConsumer(ctx, s.name, config)
	if err != nil {
		return nil, fmt.Errorf("consume stream %s: %w", s.name, err)
	}
	f := &feed{messages: make(chan jetstream.Msg, feedBuffer)}
	done := make(chan struct{})
	delivered := uint64(0)
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		meta, err := msg.Metadata()
		delivered++
		if err != nil || meta.Sequence.Consumer != delivered {
			lost(errMissed)
			return
		}
		select {
		case f.messages <- msg:
		case <-done:
		}
	}, jetstream.PullMaxMessages(feedBuffer), jetstream.PullHeartbeat(feedHeartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { lost(err) }))
	if err != nil {
		return nil, fmt.Errorf("consume stream %s: %w", s.name, err)
	}
	f.stop = func() {
		close(done)
		consuming.Stop()
		<-consuming.Closed()
		if s.js.Conn().IsConnected() {
			goodbye, cancel := context.WithTimeout(context.WithoutCancel(ctx), feedGoodbye)
			defer cancel()
			_ = s.js.DeleteConsumer(goodbye, s.name, config.Name) // it expires by itself otherwise
		}
	}
	return f, nil
}

// guard returns a context that ends when a connection is lost or comes back: what was
// read and asked for before then counts no more. lost ends it for another reason,
// done must be called in the end.
func guard(ctx context.Context, connections ...*nats.Conn) (guarded context.Context, lost func(error), done func()) {
	guarded, lost = context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	for _, nc := range connections {
		status := nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
		watching.Go(func() {
			defer nc.RemoveStatusListener(status)
			select {
			case <-status:
				lost(errConnection)
			case <-guarded.Done():
			}
		})
	}
	return guarded, lost, func() {
		lost(nil)
		watching.Wait()
	}
}

// count returns how many messages lie after sequence.
func (s stream) count(ctx context.Context, sequence uint64) (uint64, error) {
	consumer, err := s.js.CreateConsumer(ctx, s.name, jetstream.ConsumerConfig{
		Name:          "projection_" + nuid.Next(),
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   sequence + 1,
		AckPolicy:     jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1,
		InactiveThreshold: feedInactivity,
	})
	if err != nil {
		return 0, fmt.Errorf("count events of stream %s: %w", s.name, err)
	}
	info := consumer.CachedInfo()
	if err := s.js.DeleteConsumer(ctx, s.name, info.Name); err != nil {
		return 0, fmt.Errorf("count events of stream %s: %w", s.name, err)
	}
	return info.NumPending, nil
}
