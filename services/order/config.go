package order

import (
	"fmt"
	"time"

	"sluice/pkg/app"
)

const (
	shortestPending = time.Second
	longestPending  = 365 * 24 * time.Hour
)

// pendingTimeout returns what the environment asks for in
// SLUICE_ORDER_PENDING_TIMEOUT: how long an order may stay pending before it is
// cancelled, a duration such as 30m, from a second to a year. Default: for ever,
// which is 0 here.
func pendingTimeout(env app.Env) (time.Duration, error) {
	value := env.Getenv("SLUICE_ORDER_PENDING_TIMEOUT")
	if value == "" {
		return 0, nil
	}
	timeout, err := time.ParseDuration(value)
	if err != nil || timeout < shortestPending || timeout > longestPending {
		return 0, fmt.Errorf("SLUICE_ORDER_PENDING_TIMEOUT %q is not a duration such as 30m, from %s to %s", value, shortestPending, longestPending)
	}
	return timeout, nil
}
