package auth_test

import (
	"context"
	"fmt"

	"sluice/pkg/auth"
)

// A service checks whose something is by who asks, whom a token has proved to be.
func Example() {
	mayRead := func(ctx context.Context, owner string) bool { return auth.From(ctx).Owns(owner) }

	ada := auth.With(context.Background(), auth.Identity{User: "ada"}, "…")
	operator := auth.With(context.Background(), auth.Identity{User: "olga", Roles: []auth.Role{auth.Operator}}, "…")
	fmt.Println(mayRead(ada, "ada"), mayRead(ada, "bob"), mayRead(operator, "bob"), mayRead(context.Background(), "bob"))
	// Output: true false true false
}
