package app

import (
	"context"
	"errors"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
)

// proof is how one service proves who it is, and tells who others are.
type proof struct {
	verifier *auth.Verifier
	tokens   *auth.ServiceTokens
}

func newProof(js jetstream.JetStream, service string, log *slog.Logger) proof {
	return proof{
		verifier: auth.NewVerifier(js, auth.Config{Log: log}),
		tokens:   auth.NewServiceTokens(js, service),
	}
}

// verify returns whom a token belongs to, as an endpoint says it.
func (p proof) verify(ctx context.Context, token string) (auth.Identity, error) {
	id, err := p.verifier.Verify(ctx, token)
	switch {
	case err == nil:
		return id, nil
	case errors.Is(err, auth.ErrRefused):
		return auth.Identity{}, endpoint.Unauthenticated("the token is no good: log in again").Because(err)
	default:
		return auth.Identity{}, endpoint.Unavailable("the token cannot be verified now").Because(err)
	}
}

// stop takes the service's key away.
func (p proof) stop(ctx context.Context) error {
	return errors.Join(p.tokens.Close(ctx), p.verifier.Stop(ctx))
}
