package main

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/ThreeDotsLabs/watermill"
	watermillnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"

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
