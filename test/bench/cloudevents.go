package main

import (
	"context"
	"time"

	cejetstream "github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2"
	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
)

// cloudAppender publishes with the client of the CloudEvents SDK and its protocol for
// JetStream, which knows no concurrency control. The event has the attributes of a
// first one of ours. The protocol is bound to one subject and ours differ by
// aggregate, so its sender is pointed at each in turn.
func cloudAppender(js jetstream.JetStream, ids []string) (writer, error) {
	sender, err := cejetstream.NewSenderFromConn(js.Conn(), clouds.Name, "", nil)
	if err != nil {
		return nil, err
	}
	client, err := cloudevents.NewClient(sender)
	if err != nil {
		return nil, err
	}
	like, err := newFact(context.Background(), ids[0])
	if err != nil {
		return nil, err
	}
	like = disguised(like, clouds.Entity)
	return func(ctx context.Context, i int) error {
		command := event.NewID()
		e := cloudevents.NewEvent()
		e.SetID(event.NewID())
		e.SetSource(like.Source)
		e.SetType(like.Type)
		e.SetSubject(ids[i])
		e.SetTime(time.Now())
		e.SetDataSchema(like.DataSchema)
		e.SetExtension("aggregateversion", "1")
		e.SetExtension("step", "1")
		e.SetExtension("correlationid", command)
		e.SetExtension("causationid", command)
		if err := e.SetData(cloudevents.ApplicationJSON, fact()); err != nil {
			return err
		}
		sender.Subject = like.Type + "." + ids[i]
		return client.Send(ctx, e)
	}, nil
}

// receiving is the SDK's receiver. Its protocol has nothing to acknowledge with:
// nats.go does it as soon as the receiver has taken a message, before the handler runs
// and whether it fails or not. Each handler runs in a goroutine of its own, in no order.
func receiving(js jetstream.JetStream) work {
	return func(ctx context.Context, j job) (func() error, error) {
		options := append(j.push(), nats.Durable(j.durable))
		consumer, err := cejetstream.NewConsumerFromConn(js.Conn(), orders.Name, events.Subjects()[0], nil, options)
		if err != nil {
			return nil, err
		}
		client, err := cloudevents.NewClient(consumer)
		if err != nil {
			return nil, err
		}
		ctx, end := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() {
			err := client.StartReceiver(ctx, func(e cloudevents.Event) error {
				var data noted
				err := e.DataAs(&data)
				if err == nil {
					j.handled(e.Subject())
				} else {
					j.fail(err)
				}
				return err
			})
			if err != nil {
				j.fail(err)
			}
			ended <- err
		}()
		return func() error {
			end()
			return <-ended
		}, nil
	}
}
