package streams_test

import (
	"fmt"

	"sluice/streams"
)

func ExampleLoad() {
	set, err := streams.Load("order")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range set.Streams {
		fmt.Println(s.Name, s.Subjects)
	}
	for _, s := range set.Foreign {
		fmt.Println("reads", s.Name)
	}
	for _, c := range set.Consumers {
		fmt.Println(c.Stream, "→", c.Config.Durable)
	}
	// Output:
	// KV_order-snapshots [$KV.order-snapshots.>]
	// KV_order-users [$KV.order-users.>]
	// KV_orders [$KV.orders.>]
	// ORDERS [order.*.* order.*.*.*]
	// ORDERS_INTAKE [order.*]
	// DEADLETTERS [deadletter.>]
	// KV_keys [$KV.keys.>]
	// KV_reactions [$KV.reactions.>]
	// KV_schemas [$KV.schemas.>]
	// TIMERS [timer.>]
	// reads USERS
	// DEADLETTERS → order-due-redrive
	// DEADLETTERS → order-intake-redrive
	// DEADLETTERS → order-timers-redrive
	// ORDERS → order-guard
	// ORDERS → order-timers
	// ORDERS_INTAKE → order-intake
	// TIMERS → order-due
}
