package endpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"

	"github.com/go-json-experiment/json"

	"sluice/pkg/event"
)

// Handler is a method with the function that serves it; make it with [Handle].
type Handler struct {
	spec  Spec
	serve func(ctx context.Context, body []byte) ([]byte, error)
}

// Spec returns the declaration of the method it serves.
func (h Handler) Spec() Spec { return h.spec }

// Validator is implemented by a request with rules that struct tags can't say. It
// runs when the tags found nothing wrong.
type Validator interface {
	Validate() []FieldError
}

// Redacter is implemented by a request that holds secrets. Redact returns what of it
// may go into the fingerprint, which is stored with events: a value without them.
type Redacter interface {
	Redact() any
}

// Handle binds h to m. What h returns goes out as JSON; an [*Error] in the chain of
// its error goes out as it is. h may run many times at once, and its context ends
// with the caller's deadline. It panics when m is malformed: a mistake in the program.
func Handle[Req, Res any](m Method[Req, Res], h func(ctx context.Context, req Req) (Res, error)) Handler {
	if t := reflect.TypeFor[Req](); t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("endpoint %s: request type %s is not a struct", m.Subject(), t))
	}
	subject := m.Subject()
	return Handler{spec: m.Spec(), serve: func(ctx context.Context, body []byte) ([]byte, error) {
		var req Req
		if err := decode(body, &req); err != nil {
			return nil, err
		}
		if err := validateRequest(&req); err != nil {
			return nil, err
		}
		if md := event.MetadataFrom(ctx); md.Keyed {
			var err error
			if md.Fingerprint, err = fingerprint(subject, &req); err != nil {
				return nil, err
			}
			ctx = event.WithMetadata(ctx, md)
		}
		res, err := h(ctx, req)
		if err != nil {
			return nil, err
		}
		out, err := json.Marshal(res, json.Deterministic(true))
		if err != nil {
			return nil, fmt.Errorf("encode the response: %w", err)
		}
		return out, nil
	}}
}

// fingerprint tells two requests under one idempotency key apart.
func fingerprint(subject string, req any) (string, error) {
	if r, ok := req.(Redacter); ok {
		req = r.Redact()
	}
	b, err := json.Marshal(req, json.Deterministic(true))
	if err != nil {
		return "", fmt.Errorf("fingerprint the request: %w", err)
	}
	h := sha256.New()
	h.Write([]byte(subject))
	h.Write([]byte{0})
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}
