package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// past is a history that was there before the contest.
type past struct {
	aggregates, each int
	abreast          int // how many aggregates grow side by side, the next after them; divides aggregates
}

func (p past) size() int { return p.aggregates * p.each }

func (past) id(aggregate int) string { return event.DeriveID("aggregate", fmt.Sprint(aggregate)) }

// at tells which event of which aggregate message i (from 0) is.
func (p past) at(i int) (aggregate, k int) {
	generation, rest := i/(p.abreast*p.each), i%(p.abreast*p.each)
	return generation*p.abreast + rest%p.abreast, rest / p.abreast
}

// sequence is where event k (from 0) of an aggregate lies.
func (p past) sequence(aggregate, k int) uint64 {
	before := aggregate / p.abreast * p.abreast * p.each
	return uint64(before + k*p.abreast + aggregate%p.abreast + 1)
}

// previous is what the links of event k name.
func (p past) previous(aggregate, k int) []uint64 {
	var links []uint64
	for j := k - 1; j >= 0 && len(links) < event.MaxPrevious; j-- {
		links = append(links, p.sequence(aggregate, j))
	}
	return links
}

// write fills the empty stream s with the messages that Append would have written.
// One publisher sends them in order without waiting, so their sequences are known
// beforehand, and the server verifies what each expects.
func (p past) write(ctx context.Context, r *rig, s eventstore.Stream) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	js, err := r.jetStream(ctx, jetstream.WithPublishAsyncMaxPending(4096),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) { fail(err) }))
	if err != nil {
		return err
	}
	for i := range p.size() {
		aggregate, k := p.at(i)
		msg, err := p.message(ctx, s, aggregate, k)
		if err != nil {
			return err
		}
		if _, err := js.PublishMsgAsync(msg, jetstream.WithStallWait(time.Minute)); err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	stream, err := js.Stream(ctx, s.Name)
	if err != nil {
		return err
	}
	if state := stream.CachedInfo().State; state.LastSeq != uint64(p.size()) {
		return fmt.Errorf("stream %s ends at %d instead of %d", s.Name, state.LastSeq, p.size())
	}
	return context.Cause(ctx)
}

// message is event k of an aggregate.
func (p past) message(ctx context.Context, s eventstore.Stream, aggregate, k int) (*nats.Msg, error) {
	e, err := newFact(ctx, p.id(aggregate))
	if err != nil {
		return nil, err
	}
	return p.linked(disguised(e, s.Entity), aggregate, k), nil
}

// linked returns e as event k of an aggregate.
func (p past) linked(e event.Event, aggregate, k int) *nats.Msg {
	e.Version, e.Step, e.Previous = uint64(k)+1, 1, p.previous(aggregate, k)
	var last uint64
	if k > 0 {
		last = e.Previous[0]
	}
	return wire(e, last)
}
