package gateway

import (
	"log/slog"
	"testing"
	"time"

	"sluice/pkg/endpoint"
	"sluice/pkg/resilience"
)

// Whatever a client can make a service answer does not count against the service.
func TestOnlySilenceCounts(t *testing.T) {
	t.Parallel()
	classify := policyHooks(slog.New(slog.DiscardHandler)).Classify
	for want, errs := range map[resilience.Outcome][]error{
		resilience.Answered: {
			endpoint.Unavailable("behind"), &endpoint.Error{Code: endpoint.CodeInternal}, endpoint.Invalid("odd"),
			endpoint.RateLimited("slow", time.Second), endpoint.Conflict("other"),
		},
		resilience.NotTaken: {
			endpoint.Unavailable("nobody").Because(endpoint.ErrNoResponders), endpoint.Unavailable("full").Because(endpoint.ErrNotTaken),
		},
		resilience.TimedOut: {endpoint.Deadline("late")},
		resilience.Ignored:  {endpoint.Unavailable("NATS").Because(endpoint.ErrUnreachable)},
	} {
		for _, err := range errs {
			if got := classify(err).Outcome; got != want {
				t.Errorf("%v: %v, want %v", err, got, want)
			}
		}
	}
	if _, err := resilience.NewSet(defaultPolicies(10*time.Second), policyHooks(slog.New(slog.DiscardHandler))); err != nil {
		t.Error(err)
	}
}
