package user

import (
	"context"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
)

// maySee refuses to show a user to others than itself and operators. It is asked
// before anything is looked for, so that it does not tell who is there.
func maySee(ctx context.Context, user string) error {
	if !auth.From(ctx).Owns(user) {
		return endpoint.Forbidden("you may see yourself only")
	}
	return nil
}

// mayChange lets a user be changed and erased by itself and by admins.
func mayChange(ctx context.Context, user string) error {
	if id := auth.From(ctx); id.User != user && !id.Is(auth.Admin) {
		return endpoint.Forbidden("you may change yourself only")
	}
	return nil
}
