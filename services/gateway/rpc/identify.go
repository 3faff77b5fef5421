package rpc

import (
	"context"
	"net/http"

	"connectrpc.com/connect"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
)

// identify returns the context of a call with who makes it: whom the bearer token in the
// metadata belongs to, nobody when there is none. It runs before the message is read.
func (cfg Config) identify(ctx context.Context, spec connect.Spec, _ connect.Peer, h http.Header) (context.Context, error) {
	id, token, err := cfg.proven(ctx, h.Values(endpoint.HeaderAuthorization))
	if err != nil {
		return nil, cfg.failed(ctx, spec, err)
	}
	if token == "" {
		return ctx, nil
	}
	return auth.With(ctx, id, token), nil
}

func (cfg Config) proven(ctx context.Context, authorization []string) (id auth.Identity, token string, err error) {
	switch {
	case len(authorization) == 0:
		return id, "", nil
	case len(authorization) > 1:
		return id, "", endpoint.Unauthenticated("authorization is there twice")
	}
	token, err = endpoint.BearerToken(authorization[0])
	if err != nil || token == "" {
		return id, "", err
	}
	if cfg.Verify == nil {
		return id, "", endpoint.Unauthenticated("this gateway takes no tokens")
	}
	id, err = cfg.Verify(ctx, token)
	return id, token, err
}
