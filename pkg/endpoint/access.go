package endpoint

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go"

	"sluice/pkg/auth"
)

// Access says who may call an endpoint. What of it is whose is the handler's to check,
// with [auth.From].
type Access string

// The kinds of access.
const (
	Public   Access = "public"   // everybody, also without a token
	SignedIn Access = "user"     // whoever proved who they are: users and services
	Operator Access = "operator" // operators, admins and services
	Admin    Access = "admin"    // admins
	Internal Access = "service"  // services
)

func (a Access) known() bool {
	switch a {
	case Public, SignedIn, Operator, Admin, Internal:
		return true
	default:
		return false
	}
}

// Check returns nil when id has access, else an error that is unauthenticated or
// forbidden. An access it does not know is open to nobody.
func (a Access) Check(id auth.Identity) error {
	allowed := false
	switch a {
	case Public:
		return nil
	case SignedIn:
		allowed = id.Is(auth.Customer)
	case Operator:
		allowed = id.Is(auth.Operator)
	case Admin:
		allowed = id.Is(auth.Admin)
	case Internal:
		allowed = id.Service != ""
	}
	switch {
	case allowed:
		return nil
	case id.Anonymous():
		return Unauthenticated("log in first: this needs a token")
	default:
		return Forbidden("you may not do this")
	}
}

const bearer = "Bearer "

// BearerToken returns the token in the value of an Authorization header, "" for an
// empty value. Any other scheme is unauthenticated.
func BearerToken(authorization string) (string, error) {
	if authorization == "" {
		return "", nil
	}
	if len(authorization) <= len(bearer) || !strings.EqualFold(authorization[:len(bearer)], bearer) {
		return "", Unauthenticated("the Authorization header is not a bearer token")
	}
	return authorization[len(bearer):], nil
}

// identify returns ctx with who sent the request, and an error when they may not. Of
// nobody ctx says already.
func (s *Server) identify(ctx context.Context, access Access, h nats.Header) (context.Context, error) {
	value, err := single(h, HeaderAuthorization)
	if err != nil {
		return ctx, err
	}
	token, err := BearerToken(value)
	if err != nil {
		return ctx, err
	}
	if token == "" {
		return ctx, access.Check(auth.Identity{})
	}
	if s.cfg.Verify == nil {
		return ctx, Unauthenticated("this service takes no tokens")
	}
	id, err := s.cfg.Verify(ctx, token)
	if err != nil {
		return ctx, err
	}
	return auth.With(ctx, id, token), access.Check(id)
}
