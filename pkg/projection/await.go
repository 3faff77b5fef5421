package projection

import (
	"context"
	"errors"
	"slices"
	"time"

	"sluice/pkg/endpoint"
)

// awaitMost bounds how long a query waits for its read model.
const awaitMost = 5 * time.Second

// Await is [View.Wait] for the position that the caller of the current request asks
// for in Sluice-Position; without one it returns at once. When the model does not
// get there in time, stands still, or has a checkpoint that does not fit, the error is
// unavailable for the caller, and the reply's Sluice-Position says how far the model is.
//
// The model's other reads in the same request ask the bucket's leader, which has all that
// was folded: other replicas may not yet.
func (v *View[V]) Await(ctx context.Context) error {
	for _, p := range endpoint.Waits(ctx) {
		if p.Stream == v.followed {
			return await(ctx, v.progress, p)
		}
	}
	return v.progress.fit()
}

// awaited reports whether the caller of the current request asks for a position.
func (v *View[V]) awaited(ctx context.Context) bool {
	return slices.ContainsFunc(endpoint.Waits(ctx), func(p endpoint.Position) bool { return p.Stream == v.followed })
}

// await is the Await of a model that tells progress how far it is.
func await(ctx context.Context, progress *progress, p endpoint.Position) error {
	wait, cancel := context.WithTimeout(ctx, awaitMost)
	defer cancel()
	if deadline, ok := ctx.Deadline(); ok {
		// Leave the caller time to hear of it.
		wait, cancel = context.WithDeadline(wait, deadline.Add(-time.Until(deadline)/4))
		defer cancel()
	}
	if err := progress.fit(); err != nil {
		return err
	}
	err := progress.wait(wait, p.Stream, p.Sequence)
	if err == nil {
		return nil
	}
	if behind, ok := errors.AsType[*BehindError](err); ok {
		endpoint.Wrote(ctx, p.Stream, behind.Reached)
	}
	return endpoint.Unavailable("the read model has not got to " + p.String() + " yet").Because(err)
}
