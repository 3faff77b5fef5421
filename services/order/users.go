package order

import (
	"context"
	"errors"
	"time"

	"sluice/pkg/app"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/projection"
	"sluice/pkg/resilience"
	"sluice/services/user/userapi"
)

// users answers whether a user exists: the user service, or while that does not
// answer, or its circuit breaker is open, the order service's own replica, built from the
// history of users.
type users struct {
	caller  *endpoint.Caller // with userPolicies
	replica *projection.View[known]
}

// userPolicies returns how the user service is called, unless the configuration says
// otherwise: so that the replica can be asked within the time that a request has.
func userPolicies(env app.Env) (*resilience.Set, error) {
	return env.Policies(map[string]resilience.Config{"user": {
		Timeout: 2 * time.Second,
		Retry:   resilience.Retry{AttemptTimeout: time.Second},
		Breaker: resilience.Breaker{Failures: 5, Recovery: 30 * time.Second},
	}}, endpoint.Hooks(env.Log))
}

// known is what the replica keeps of a user: that there is one.
type known struct {
	Version uint64 `json:"version"`
}

func (u users) mustExist(ctx context.Context, id string) error {
	_, err := endpoint.Call(ctx, u.caller, userapi.Get, userapi.GetRequest{ID: id})
	switch endpoint.CodeOf(err) {
	case "":
		return nil
	case endpoint.CodeNotFound, endpoint.CodeInvalid:
		return endpoint.Invalid("User not found", endpoint.FieldError{Field: "user_id", Message: "User not found"}).Because(err)
	case endpoint.CodeUnavailable, endpoint.CodeDeadline:
		_, replicaErr := u.replica.Get(ctx, id)
		if replicaErr == nil {
			return nil
		}
		if errors.Is(replicaErr, projection.ErrNotFound) {
			replicaErr = nil // the replica may be behind, so this decides nothing
		}
		return endpoint.Unavailable("the user service does not answer").Because(errors.Join(err, replicaErr))
	default:
		return err
	}
}

// replicate builds the replica of users.
func replicate(tx *projection.Tx[known], e event.Event, data event.Data) error {
	if _, erased := data.(userapi.Erased); erased {
		tx.Delete(e.Subject)
		return nil
	}
	tx.Put(e.Subject, known{Version: e.Version})
	return nil
}
