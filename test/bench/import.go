package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// inFlight is how many messages the raw publisher keeps unacknowledged, and Import too.
const inFlight = 4096

// imports: a history from elsewhere is taken over. Ours validates, links and encodes
// events that come one after another; nats.go publishes the messages that result,
// which were built beforehand: same bytes, same headers, same expectations. Each round
// fills an empty stream.
func imports() []contest {
	return []contest{{
		name: "import/60000 over 3000", metrics: []metric{{unit: "events/s"}},
		prepare: func(ctx context.Context, r *rig) (field, error) {
			h, err := newHandover(ctx, r, past{aggregates: r.size(3_000, 100), each: life, abreast: r.size(1_000, 50)})
			if err != nil {
				return field{}, err
			}
			return field{
				ours:  h.turn(orders, h.take),
				peers: []peer{{fmt.Sprintf("raw PublishMsgAsync, %d in flight", inFlight), h.turn(plains, h.publish)}},
			}, nil
		},
	}}
}

// handover is a history to be taken over.
type handover struct {
	past      past
	events    []event.Event // as another system has them: without versions and links
	ours, raw jetstream.JetStream
	failed    chan error // of the raw publisher
}

func newHandover(ctx context.Context, r *rig, p past) (*handover, error) {
	h := &handover{past: p, events: make([]event.Event, p.size()), failed: make(chan error, 1)}
	for i := range h.events {
		aggregate, _ := p.at(i)
		var err error
		if h.events[i], err = newFact(ctx, p.id(aggregate)); err != nil {
			return nil, err
		}
	}
	var err error
	if h.ours, err = r.jetStream(ctx); err != nil {
		return nil, err
	}
	h.raw, err = r.jetStream(ctx, jetstream.WithPublishAsyncMaxPending(inFlight),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) {
			select {
			case h.failed <- err:
			default:
			}
		}))
	return h, err
}

// turn empties s and measures how fast it is filled by what fill returns.
func (h *handover) turn(s eventstore.Stream, fill func() (func(context.Context) error, error)) round {
	return func(ctx context.Context, _ int) ([]float64, error) {
		if err := h.ours.DeleteStream(ctx, s.Name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, err
		}
		stream, err := h.ours.CreateStream(ctx, eventstore.HistoryConfig(s))
		if err != nil {
			return nil, err
		}
		run, err := fill()
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if err := run(ctx); err != nil {
			return nil, err
		}
		took := time.Since(began)
		info, err := stream.Info(ctx)
		if err == nil && info.State.Msgs != uint64(len(h.events)) {
			err = fmt.Errorf("stream %s has %d messages instead of %d", s.Name, info.State.Msgs, len(h.events))
		}
		return []float64{perSecond(len(h.events), took)}, err
	}
}

func (h *handover) take() (func(context.Context) error, error) {
	store := eventstore.New(h.ours, orders, events)
	return func(ctx context.Context) error {
		return store.Import(ctx, func(yield func(event.Event, error) bool) {
			for _, e := range h.events {
				if !yield(e, nil) {
					return
				}
			}
		}, nil)
	}, nil
}

func (h *handover) publish() (func(context.Context) error, error) {
	messages := h.messages()
	return func(ctx context.Context) error {
		for _, m := range messages {
			if _, err := h.raw.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute)); err != nil {
				return err
			}
		}
		select {
		case <-h.raw.PublishAsyncComplete():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		select {
		case err := <-h.failed:
			return err
		default:
			return nil
		}
	}, nil
}

// messages are what Import writes into an empty stream.
func (h *handover) messages() []*nats.Msg {
	all := make([]*nats.Msg, len(h.events))
	for i, e := range h.events {
		aggregate, k := h.past.at(i)
		all[i] = h.past.linked(disguised(e, plains.Entity), aggregate, k)
		all[i].Header[jetstream.ExpectedLastSeqHeader] = []string{strconv.Itoa(i)}
	}
	return all
}
