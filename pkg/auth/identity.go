package auth

import (
	"context"
	"slices"
)

// Role is what a user may do beyond what everybody may.
type Role string

// The roles. Each may do what those before it may.
const (
	Customer Role = "customer" // see and change what is their own; every user is one
	Operator Role = "operator" // see everything, confirm, ship and deliver orders
	Admin    Role = "admin"    // change everything: roles, the registry, dead letters, read models
)

// Granted reports whether r is a role that a user may be given. Everybody is a
// [Customer], whom nobody has made one.
func (r Role) Granted() bool { return r == Operator || r == Admin }

// Identity is who asks: a user, a service, or nobody. The zero value is nobody.
type Identity struct {
	User    string // id; empty for services and nobody
	Roles   []Role // of the user, beside Customer
	Service string // name; empty for users and nobody
}

// Anonymous reports whether it is nobody.
func (i Identity) Anonymous() bool { return i.User == "" && i.Service == "" }

// Is reports whether the identity may do what the role may. An admin is an operator
// too, and a service sees what an operator sees, but is no admin.
func (i Identity) Is(role Role) bool {
	switch role {
	case Customer:
		return !i.Anonymous()
	case Operator:
		return i.Service != "" || i.User != "" && (slices.Contains(i.Roles, Operator) || slices.Contains(i.Roles, Admin))
	case Admin:
		return i.User != "" && slices.Contains(i.Roles, Admin)
	default:
		return false
	}
}

// Owns reports whether what belongs to a user may be seen by this identity: it is that
// user, or an operator.
func (i Identity) Owns(user string) bool {
	return i.User != "" && i.User == user || i.Is(Operator)
}

type identityKey struct{}

// carried is an identity with the token that proves it.
type carried struct {
	Identity

	token string
}

// With returns a context in which id asks, which token proves. Calls made with that
// context carry the token on.
func With(ctx context.Context, id Identity, token string) context.Context {
	return context.WithValue(ctx, identityKey{}, carried{id, token})
}

// From returns who asks, nobody when the context does not say.
func From(ctx context.Context) Identity {
	c, _ := ctx.Value(identityKey{}).(carried)
	return c.Identity
}

// TokenFrom returns the token that proves who asks, empty for nobody.
func TokenFrom(ctx context.Context) string {
	c, _ := ctx.Value(identityKey{}).(carried)
	return c.token
}

// Asked reports whether ctx belongs to a request in which somebody asks, or nobody:
// whether [With] has said. What is done for nobody is not done as somebody else.
func Asked(ctx context.Context) bool {
	_, asked := ctx.Value(identityKey{}).(carried)
	return asked
}
