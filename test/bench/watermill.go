package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"

	"github.com/ThreeDotsLabs/watermill"
	watermillnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"

	"sluice/pkg/event"
)

// water is watermill's publisher to JetStream, without its bookkeeping of streams.
type water struct {
	publisher  message.Publisher
	attributes message.Metadata // what a CloudEvent of ours has, but for what differs
}

func newWater(ctx context.Context, r *rig) (*water, error) {
	js, err := r.history(ctx, waters)
	if err != nil {
		return nil, err
	}
	publisher, err := watermillnats.NewPublisherWithNatsConn(js.Conn(), watermillnats.PublisherPublishConfig{
		Marshaler: &watermillnats.NATSMarshaler{}, SubjectCalculator: watermillnats.DefaultSubjectCalculator,
	}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	e, err := newFact(ctx, event.NewID())
	if err != nil {
		return nil, err
	}
	header, _ := event.Encode(disguised(e, waters.Entity))
	w := &water{publisher: publisher, attributes: make(message.Metadata, len(header))}
	for name, values := range header {
		w.attributes[name] = values[0]
	}
	return w, nil
}

// appender publishes the same data with the same attributes, as a program that uses
// watermill would: marshal, make a message, fill its metadata, publish.
func (w *water) appender(ids []string) writer {
	return func(_ context.Context, i int) error {
		data, err := json.Marshal(fact())
		if err != nil {
			return err
		}
		m := message.NewMessage(watermill.NewUUID(), data)
		maps.Copy(m.Metadata, w.attributes)
		m.Metadata["ce-id"], m.Metadata["ce-subject"] = m.UUID, ids[i]
		return w.publisher.Publish("water.noted."+ids[i], m)
	}
}

// routing is watermill's router in its fastest mode, which does not wait for the
// server to confirm an acknowledgement. It handles one message after another.
// Its subscriber closes the connection at the end, so each turn gets one of its own.
func routing(r *rig) work {
	return func(ctx context.Context, j job) (func() error, error) {
		js, err := r.jetStream(ctx)
		if err != nil {
			return nil, err
		}
		subscriber, err := watermillnats.NewSubscriberWithNatsConn(js.Conn(), watermillnats.SubscriberSubscriptionConfig{
			Unmarshaler: &watermillnats.NATSMarshaler{}, SubjectCalculator: watermillnats.DefaultSubjectCalculator,
			AckWaitTimeout: ackWait, CloseTimeout: stopGrace,
			JetStream: watermillnats.JetStreamConfig{
				AckAsync: true, DurablePrefix: j.durable, SubscribeOptions: append(j.push(), nats.ManualAck()),
			},
		}, watermill.NopLogger{})
		if err != nil {
			return nil, err
		}
		router, err := message.NewRouter(message.RouterConfig{CloseTimeout: stopGrace}, watermill.NopLogger{})
		if err != nil {
			return nil, err
		}
		router.AddConsumerHandler("bench", events.Subjects()[0], subscriber, func(m *message.Message) error {
			var data noted
			if err := json.Unmarshal(m.Payload, &data); err != nil {
				j.fail(err)
				return err
			}
			j.handled(m.Metadata["ce-subject"])
			return nil
		})
		ended := make(chan error, 1)
		go func() { ended <- router.Run(ctx) }()
		select {
		case <-router.Running():
		case err := <-ended:
			return nil, err
		}
		return func() error { return errors.Join(router.Close(), <-ended) }, nil
	}
}
