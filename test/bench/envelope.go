package main

import (
	"context"
	"runtime"
	"time"

	"sluice/pkg/event"
)

// envelopes: an event to what goes on the wire and back to typed data, validated on
// both ways; beside the CloudEvents SDK in its structured mode, the one that its NATS
// bindings write. The header block of our binary mode is written and read by nats.go
// and counts on neither side.
func envelopes() []contest {
	measures := []metric{{"time", "ns/op", true}, {"allocs", "allocs/op", true}}
	compare := func(name string, choose func(c codec) func() error) contest {
		return contest{name: name, metrics: measures, prepare: func(ctx context.Context, r *rig) (field, error) {
			ours, sdk, err := codecs(ctx)
			if err != nil {
				return field{}, err
			}
			n := r.size(50_000, 2_000)
			return field{ours: repeat(n, choose(ours)), peers: []peer{{"sdk-go", repeat(n, choose(sdk))}}}, nil
		}}
	}
	return []contest{
		compare("envelope/encode", func(c codec) func() error { return c.encode }),
		compare("envelope/decode", func(c codec) func() error { return c.decode }),
		compare("envelope/encode+decode", func(c codec) func() error {
			return func() error {
				if err := c.encode(); err != nil {
					return err
				}
				return c.decode()
			}
		}),
	}
}

// codec takes one event both ways.
type codec struct{ encode, decode func() error }

func codecs(ctx context.Context) (ours, sdk codec, err error) {
	e, err := newFact(ctx, event.NewID())
	if err != nil {
		return codec{}, codec{}, err
	}
	e.Version, e.Step, e.Previous = 3, 1, []uint64{1001, 950}
	header, body := event.Encode(e)
	ours.encode = func() error {
		event.Encode(e)
		return e.Validate()
	}
	ours.decode = func() error {
		read, err := event.Decode(header, body)
		if err != nil {
			return err
		}
		_, err = events.Decode(read)
		return err
	}
	ce, err := e.CloudEvent()
	if err != nil {
		return codec{}, codec{}, err
	}
	structured, err := ce.MarshalJSON()
	if err != nil {
		return codec{}, codec{}, err
	}
	sdk.encode = func() error {
		if err := ce.Validate(); err != nil {
			return err
		}
		_, err := ce.MarshalJSON()
		return err
	}
	sdk.decode = func() error {
		read := zero(ce)
		if err := read.UnmarshalJSON(structured); err != nil {
			return err
		}
		if err := read.Validate(); err != nil {
			return err
		}
		var data noted
		return read.DataAs(&data)
	}
	return ours, sdk, nil
}

// zero returns an empty value of a type that this package does not import.
func zero[T any](T) T {
	var empty T
	return empty
}

// repeat does something n times and returns nanoseconds and allocations of one.
func repeat(n int, do func() error) round {
	return func(context.Context, int) ([]float64, error) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		for range n {
			if err := do(); err != nil {
				return nil, err
			}
		}
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		return []float64{float64(took) / float64(n), float64((after.Mallocs - before.Mallocs) / uint64(n))}, nil
	}
}
