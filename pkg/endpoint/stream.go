package endpoint

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"reflect"

	"github.com/go-json-experiment/json"

	"sluice/pkg/event"
)

// Stream declares an endpoint that answers with many items instead of one response: a
// query whose result is too long for a message, or that goes on. Req must be a struct.
//
// The items are lines of JSON, as many to a message as fit into 64 KiB, and after the last
// comes an empty message, so that this shows them all:
//
//	nats req svc.order.export '{}' --replies 0 --wait-for-empty
//
// When something goes wrong half-way, the empty message has the error in its headers. The
// messages are numbered, so that one that got lost is an error and never a gap. The service
// is at most a window of messages ahead of a [CallStream]; who asks in another way takes
// what comes, at most [MaxUncredited] messages.
type Stream[Req, Item any] struct {
	Service     string // "order"
	Name        string // "export"
	Description string // one sentence, for those who look from outside

	// HTTP is the route the gateway offers, "GET /v1/orders/export". Its response is
	// application/x-ndjson. Empty means no route.
	HTTP string
	// Auth says who may call. It must be declared.
	Auth Access
}

// Subject returns the NATS subject the stream is served on, "svc.order.export".
func (m Stream[Req, Item]) Subject() string { return subjectPrefix + m.Service + "." + m.Name }

// Spec returns the declaration without its Go types; Response is the schema of one item.
// It panics when the declaration is malformed, since that is a mistake in the program.
func (m Stream[Req, Item]) Spec() Spec {
	return Spec{
		Service: m.Service, Name: m.Name, Subject: m.Subject(), Description: m.Description,
		HTTP: m.HTTP, Auth: m.Auth, Idempotent: true, Streaming: true,
		Request: requestSchema[Req](), Response: event.SchemaOf[Item](),
	}.checked()
}

// HandleStream binds h to m. What h yields goes out as it comes, and waits while the
// caller has enough; the first error ends the stream, an [*Error] in its chain goes out as
// it is. The context ends when the caller goes away, stops reading or has no time left:
// then h need not yield any more. It panics when m is malformed: a mistake in the program.
func HandleStream[Req, Item any](m Stream[Req, Item], h func(ctx context.Context, req Req) iter.Seq2[Item, error]) Handler {
	if t := reflect.TypeFor[Req](); t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("endpoint %s: request type %s is not a struct", m.Subject(), t))
	}
	read := reader[Req](m.Subject())
	return Handler{spec: m.Spec(), serve: func(r *request) ([]byte, error) {
		req, err := read(r)
		if err != nil {
			return nil, err
		}
		for item, err := range h(r, req) {
			if err != nil {
				return nil, err
			}
			line, err := json.Marshal(item, json.Deterministic(true))
			if err != nil {
				return nil, fmt.Errorf("encode an item: %w", err)
			}
			if err := r.out.write(r, append(line, '\n')); err != nil {
				return nil, err
			}
		}
		return nil, r.Err()
	}}
}

// stream runs a handler whose items go out one after another.
func (s *Server) stream(h Handler, r *request) error {
	if r.reply == "" {
		return Invalid("a stream needs a reply subject")
	}
	ahead, err := window(r.header)
	if err != nil {
		return err
	}
	r.out.begin(ahead)
	ctx, stop := context.WithCancel(r)
	gone := make(chan error, 1)
	go func() {
		err := r.out.pulse(ctx)
		r.cancel()
		gone <- err
	}()
	_, err = protect(h, r)
	left := r.out.drain(r) // also before an error
	stop()
	return cmp.Or(<-gone, err, left)
}
