package endpoint

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
)

// CallStream asks the service of m and yields the items as they come. An error is the
// last that is yielded, and has an [*Error] as those of [Call] do, or is [ErrGap]. Who
// stops to range over the items, or cancels ctx, stops the service; so does who takes
// longer over one than the service waits, 10 s by default. A policy guards the call until
// the first sign of life.
func CallStream[Req, Item any](ctx context.Context, c *Caller, m Stream[Req, Item], req Req) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		t := target{m.Service, m.Name, m.Subject(), true, true}
		body, err := json.Marshal(req, json.Deterministic(true))
		if err == nil {
			var malformed error
			err = c.stream(ctx, t, nil, body, func(r *reading, lines []byte) bool {
				for line := range bytes.Lines(lines) {
					var item Item
					if malformed = json.Unmarshal(line, &item); malformed != nil || !yield(item, nil) {
						return false
					}
					r.acknowledge(0)
				}
				return true
			})
			if malformed != nil {
				err = fmt.Errorf("decode an item: %w", malformed)
			}
		}
		if err != nil {
			var none Item
			yield(none, fmt.Errorf("call %s: %w", t.subject, err))
		}
	}
}

// ForwardStream is [CallStream] for those who hold the body already and know the stream by
// its spec. It yields lines of JSON, some at a time, each ended by a line feed; they are
// the receiver's to keep. Headers that are set in h count before what ctx says.
func (c *Caller) ForwardStream(ctx context.Context, s Spec, h nats.Header, body []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		err := c.stream(ctx, s.target(), h, body, func(_ *reading, lines []byte) bool { return yield(lines, nil) })
		if err != nil {
			yield(nil, err)
		}
	}
}

// stream calls each with what comes, until it returns false.
func (c *Caller) stream(ctx context.Context, t target, h nats.Header, body []byte, each func(r *reading, lines []byte) bool) (err error) {
	a := c.meters.begin(ctx, t.subject)
	defer func() { a.end(err) }() // who reads may panic
	ctx = a.ctx
	r, err := under(ctx, c, t, h, func(attempt context.Context) (*reading, error) {
		r := c.newReading(t.subject)
		if err := r.open(ctx, attempt, h, body); err != nil {
			r.close()
			return nil, err
		}
		return r, nil
	})
	if err == nil {
		err = r.all(ctx, each)
		r.close()
	}
	return err
}
