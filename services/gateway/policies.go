package gateway

import (
	"log/slog"
	"time"

	"sluice/pkg/endpoint"
	"sluice/pkg/resilience"
)

// defaultPolicies returns how services are called, unless the configuration says
// otherwise. What they did not take is asked again, which carries requests over a restart.
// A service that takes requests and does not answer them is not asked for a moment, so
// that those who wait do not pile up.
func defaultPolicies(timeout time.Duration) map[string]resilience.Config {
	return map[string]resilience.Config{
		resilience.Default: {
			Timeout: timeout,
			Breaker: resilience.Breaker{Window: 10 * time.Second, Rate: 0.5, MinCalls: 20, Recovery: 2 * time.Second, Probes: 3},
		},
	}
}

// policyHooks are those of all callers but for one thing: what a service answers counts
// for nothing, however bad it is. Who sends the requests must not be able to close a
// service to others.
func policyHooks(log *slog.Logger) resilience.Hooks {
	hooks := endpoint.Hooks(log)
	classify := hooks.Classify
	hooks.Classify = func(err error) resilience.Verdict {
		v := classify(err)
		if v.Outcome == resilience.Failed || v.Outcome == resilience.Busy {
			v.Outcome = resilience.Answered
		}
		return v
	}
	return hooks
}
