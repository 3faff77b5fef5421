package resilience_test

import (
	"context"
	"errors"
	"fmt"

	"sluice/pkg/resilience"
)

// A target that is down is asked until the breaker opens; then the answer comes from
// elsewhere, without a wait.
func Example() {
	users, err := resilience.New("user", resilience.Config{
		Retry:   resilience.Retry{Attempts: 1},
		Breaker: resilience.Breaker{Failures: 2},
	}, resilience.Hooks{
		OnChange: func(c resilience.Change) { fmt.Printf("%s: %v after %v\n", c.Policy, c.To, c.Cause) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fetch := func(context.Context) (string, error) { return "", errors.New("connection refused") }
	replica := func(_ context.Context, err error) (string, error) { return fmt.Sprintf("Ann, since %v", err), nil }
	for range 3 {
		name, _ := resilience.DoOr(context.Background(), users.Idempotent(), fetch, replica)
		fmt.Println(name)
	}
	// Output:
	// Ann, since connection refused
	// user: open after connection refused
	// Ann, since connection refused
	// Ann, since calls of user: circuit breaker is open
}
