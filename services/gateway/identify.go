package gateway

import (
	"context"
	"net/http"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
)

// identify returns the request's context with who asks: whom the bearer token of the
// Authorization header belongs to, nobody when there is none. A token that is no good
// is unauthenticated, wherever it is sent.
func (g *Gateway) identify(req *http.Request) (context.Context, error) {
	ctx := req.Context()
	values := req.Header.Values(endpoint.HeaderAuthorization)
	if len(values) == 0 {
		return ctx, nil
	}
	if len(values) > 1 {
		return ctx, endpoint.Unauthenticated("the Authorization header is there twice")
	}
	token, err := endpoint.BearerToken(values[0])
	if err != nil || token == "" {
		return ctx, err
	}
	if g.cfg.Verify == nil {
		return ctx, endpoint.Unauthenticated("this gateway takes no tokens")
	}
	id, err := g.cfg.Verify(ctx, token)
	if err != nil {
		return ctx, err
	}
	recorderOf(ctx).identity = id
	return auth.With(ctx, id, token), nil
}
