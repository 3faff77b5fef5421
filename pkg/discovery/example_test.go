package discovery_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"sluice/pkg/discovery"
)

// What cannot be known is an error: here there is no connection.
func Example() {
	found := discovery.New(&nats.Conn{}, discovery.Config{})
	instances, err := found.Instances(context.Background(), "order")
	fmt.Println(len(instances), errors.Is(err, discovery.ErrUnreachable), errors.Is(err, discovery.ErrNoInstances))
	// Output: 0 true false
}
