package rpc

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"connectrpc.com/connect"
	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
)

// call asks one endpoint, with the metadata of the call in ctx.
type call[Req, Res any] func(ctx context.Context, req Req) (Res, error)

// via returns how m is called through c.
func via[Req, Res any](c *endpoint.Caller, m endpoint.Method[Req, Res]) call[Req, Res] {
	spec := m.Spec()
	return func(ctx context.Context, req Req) (res Res, err error) {
		if err := spec.Auth.Check(auth.From(ctx)); err != nil {
			return res, err
		}
		info, ok := connect.CallInfoForHandlerContext(ctx)
		if !ok {
			return res, fmt.Errorf("call %s: outside of a call from outside", spec.Subject)
		}
		header, err := forwarded(info.RequestHeader(), spec)
		if err != nil {
			return res, err
		}
		body, err := json.Marshal(req, json.Deterministic(true))
		if err != nil {
			return res, fmt.Errorf("call %s: encode the request: %w", spec.Subject, err)
		}
		reply, err := c.Forward(ctx, spec, header, body)
		if position := reply.Header.Get(endpoint.HeaderPosition); position != "" {
			info.ResponseHeader().Set(endpoint.HeaderPosition, position)
		}
		if err != nil {
			return res, fmt.Errorf("call %s: %w", spec.Subject, err)
		}
		if err := json.Unmarshal(reply.Body, &res); err != nil {
			return res, fmt.Errorf("call %s: decode the response: %w", spec.Subject, err)
		}
		return res, nil
	}
}

const headerMatch = "If-Match"

// forwarded returns what of a call's metadata the endpoint gets, which checks it. Who
// asks is not among it: nobody can claim to be somebody.
func forwarded(metadata http.Header, spec endpoint.Spec) (nats.Header, error) {
	h := make(nats.Header, 3)
	if positions := metadata.Values(endpoint.HeaderPosition); len(positions) > 0 {
		h[endpoint.HeaderPosition] = positions
	}
	if strings.HasPrefix(spec.HTTP, http.MethodGet+" ") {
		return h, nil
	}
	if keys := metadata.Values(endpoint.HeaderIdempotencyKey); len(keys) > 0 {
		h[endpoint.HeaderIdempotencyKey] = keys
	}
	if matches := metadata.Values(headerMatch); len(matches) > 0 {
		version, err := expected(matches)
		if err != nil {
			return nil, err
		}
		h[endpoint.HeaderExpectedVersion] = []string{version}
	}
	return h, nil
}

// matchPattern is one version as an entity tag has it.
var matchPattern = regexp.MustCompile(`^"([1-9][0-9]{0,18})"$`)

// expected returns the version that an if-match asks for.
func expected(matches []string) (string, error) {
	if len(matches) == 1 {
		if m := matchPattern.FindStringSubmatch(matches[0]); m != nil {
			return m[1], nil
		}
	}
	return "", invalid("if-match", `must be one version like "5", with the quotes`)
}
