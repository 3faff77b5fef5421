package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
)

// summary is a value of the read model: what was noted about one aggregate.
type summary struct {
	ID      string `json:"id"`
	Version uint64 `json:"version"`
	Amount  int    `json:"amount"`
	Note    string `json:"note"`
}

func (s summary) with(e event.Event, n noted) summary {
	return summary{ID: e.Subject, Version: e.Version, Amount: s.Amount + n.Amount, Note: n.Note}
}

func summarize(tx *projection.Tx[summary], e event.Event, data event.Data) error {
	var n noted
	switch d := data.(type) {
	case noted:
		n = d
	case small:
		n = noted(d)
	default:
		return event.ErrUnknownType
	}
	s, _, err := tx.Get(e.Subject)
	if err != nil {
		return err
	}
	tx.Put(e.Subject, s.with(e, n))
	return nil
}

// rebuilds: a read model from nothing, beside the loop that everybody writes first:
// get the value, fold the event, put the value. Once the aggregates come in
// generations, as orders do, and once all of them grow side by side to the end, so
// that each key comes back when all the others have been there: the worst case for
// what a runner keeps in memory.
func rebuilds() []contest {
	return []contest{
		rebuilding("rebuild/200000 over 20000, 1000 abreast", func(r *rig) past {
			return past{aggregates: r.size(20_000, 500), each: 10, abreast: r.size(1_000, 100)}
		}),
		rebuilding("rebuild/200000 over 20000, all abreast", func(r *rig) past {
			return past{aggregates: r.size(20_000, 500), each: 10, abreast: r.size(20_000, 500)}
		}),
	}
}

func rebuilding(name string, before func(r *rig) past) contest {
	return contest{
		name: name, metrics: []metric{{unit: "events/s"}},
		prepare: func(ctx context.Context, r *rig) (field, error) {
			js, err := r.history(ctx, orders)
			if err != nil {
				return field{}, err
			}
			p := before(r)
			if err := p.write(ctx, r, orders); err != nil {
				return field{}, err
			}
			bucket, err := js.CreateStream(ctx, projection.BucketConfig("summaries"))
			if err != nil {
				return field{}, err
			}
			n := naive{n: r.size(5_000, 500)}
			if n.js, err = r.jetStream(ctx); err != nil {
				return field{}, err
			}
			if n.kv, err = n.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "naive"}); err != nil {
				return field{}, err
			}
			return field{
				ours: func(ctx context.Context, _ int) ([]float64, error) {
					if err := bucket.Purge(ctx); err != nil {
						return nil, err
					}
					return rebuild(ctx, js, p)
				},
				peers: []peer{{"get-fold-put", n.rebuild}},
			}, nil
		},
	}
}

// rebuild starts a runner on an empty bucket and waits until it is up to date.
func rebuild(ctx context.Context, js jetstream.JetStream, p past) (figures []float64, err error) {
	view := projection.KV(js, "summaries", summarize)
	runner := view.Follow(eventstore.New(js, orders, events), projection.Config{})
	began := time.Now()
	if err := runner.Start(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, runner.Stop(ctx)) }()
	if err := runner.CaughtUp(ctx); err != nil {
		return nil, err
	}
	took := time.Since(began)
	last, err := view.Get(ctx, p.id(p.aggregates-1))
	if err == nil && last.Version != uint64(p.each) {
		err = errors.New("the last value of the model is not complete")
	}
	return []float64{perSecond(p.size(), took)}, err
}

// naive folds the first n events only: its pace is the same all along, and so slow
// that nobody wants to wait for the rest.
type naive struct {
	js jetstream.JetStream
	kv jetstream.KeyValue
	n  int
}

func (v naive) rebuild(ctx context.Context, _ int) ([]float64, error) {
	began := time.Now()
	consumer, err := v.js.OrderedConsumer(ctx, orders.Name, jetstream.OrderedConsumerConfig{FilterSubjects: events.Subjects()})
	if err != nil {
		return nil, err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	for range v.n {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		if err := v.fold(ctx, msg); err != nil {
			return nil, err
		}
	}
	return []float64{perSecond(v.n, time.Since(began))}, nil
}

func (v naive) fold(ctx context.Context, msg jetstream.Msg) error {
	decoded, err := event.Decode(msg.Headers(), msg.Data())
	if err != nil {
		return err
	}
	e, err := event.DecodeAs[noted](decoded)
	if err != nil {
		return err
	}
	var s summary
	entry, err := v.kv.Get(ctx, e.Subject)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(entry.Value(), &s); err != nil {
			return err
		}
	}
	value, err := json.Marshal(s.with(e.Event, e.Data))
	if err != nil {
		return err
	}
	_, err = v.kv.Put(ctx, e.Subject, value)
	return err
}
