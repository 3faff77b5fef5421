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
	serve func(r *request) ([]byte, error)
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
	read := reader[Req](m.Subject())
	return Handler{spec: m.Spec(), serve: func(r *request) ([]byte, error) {
		req, err := read(r)
		if err != nil {
			return nil, err
		}
		res, err := h(r, req)
		if err != nil {
			return nil, err
		}
		r.page = newPage()
		if err := json.MarshalWrite(r.page, res, json.Deterministic(true)); err != nil {
			return nil, fmt.Errorf("encode the response: %w", err)
		}
		return r.page.Bytes(), nil
	}}
}

// reader returns what decodes and checks the requests of an endpoint. What their type
// does not need is not done.
func reader[Req any](subject string) func(r *request) (Req, error) {
	t := reflect.TypeFor[Req]()
	options, tagged := decoding(t), contains(t, isTagged)
	return func(r *request) (req Req, err error) {
		if err := decode(r.body, &req, options); err != nil {
			return req, err
		}
		if err := validateRequest(&req, tagged); err != nil {
			return req, err
		}
		if md := event.MetadataFrom(r); md.Keyed {
			if md.Fingerprint, err = fingerprint(subject, &req); err != nil {
				return req, err
			}
			r.values = event.WithMetadata(r.values, md)
		}
		return req, nil
	}
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
