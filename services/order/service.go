// Package order is the order service: what was ordered and what became of it. It
// keeps the history of orders in the stream ORDERS and answers queries from a read
// model that is folded from it.
package order

import (
	"context"
	"fmt"

	"sluice/pkg/aggregate"
	"sluice/pkg/app"
	"sluice/pkg/bus"
	"sluice/pkg/endpoint"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
	"sluice/streams"
)

// Service is the order service.
var Service = app.Service{Name: "order", Run: run, Settings: settings{}}

func run(ctx context.Context, env app.Env) error {
	policies, err := userPolicies(env)
	if err != nil {
		return err
	}
	store := eventstore.New(env.JetStream, streams.Orders, orderapi.Events, eventstore.SyncAlways(env.SyncAlways))
	if err := store.Check(ctx); err != nil {
		return err
	}
	if err := store.PublishSchemas(ctx, streams.BucketSchemas); err != nil {
		return err
	}
	view := projection.KV(env.JetStream, streams.BucketOrders, project)
	following := view.Follow(store, projection.Config{Log: env.Log})
	replica := projection.KV(env.JetStream, streams.BucketOrderUsers, replicate)
	replicating := replica.Follow(eventstore.New(env.JetStream, streams.Users, userapi.Events), projection.Config{Log: env.Log})
	search, err := openSearch(ctx, env, store)
	if err != nil {
		return err
	}
	defer search.close(env.Log)
	orders := aggregate.New(store, apply)
	d := deadlines{orders: orders, js: env.JetStream, timeout: app.SettingsOf[settings](env).PendingTimeout}
	h := handlers{
		orders: orders, view: view,
		users: users{caller: env.Caller.With(policies), replica: replica},
	}

	nc, err := env.Connect("endpoints")
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return env.Run(ctx,
		orders.Snapshots(streams.BucketOrderSnapshots, aggregate.SnapshotConfig{Log: env.Log}),
		following,
		replicating,
		search.following,
		bus.Consume(env.JetStream, env.Group(streams.OrderGuard), bus.Config{Log: env.Log},
			aggregate.Guard(store, streams.OrderGuard, env.Log)),
		bus.Consume(env.JetStream, env.Group(streams.OrderIntake), bus.Config{Log: env.Log, Key: aggregate.IntakeKey},
			aggregate.Intake(orderapi.Events,
				aggregate.Take(h.takeCreated),
				aggregate.Take(takeMove[orderapi.Confirmed](h)),
				aggregate.Take(takeMove[orderapi.Shipped](h)),
				aggregate.Take(takeMove[orderapi.Delivered](h)),
				aggregate.Take(takeMove[orderapi.Cancelled](h)))),
		bus.Consume(env.JetStream, env.Group(streams.OrderTimers), bus.Config{Log: env.Log, Read: store.Reader().Read},
			bus.On(d.orderCreated), bus.On(d.orderConfirmed), bus.On(d.orderCancelled)),
		bus.Consume(env.JetStream, env.Group(streams.OrderDue), bus.Config{Log: env.Log}, bus.On(d.orderLapsed)),
		endpoint.Serve(nc, endpoint.ServiceConfig{
			Name: env.Service, Version: env.Version, Description: "Orders: what was ordered and what became of it", Log: env.Log, Verify: env.Verify,
			Policies: policies,
			Health:   map[string]func() error{"read-model": following.Health, "replica-of-users": replicating.Health, "search": search.following.Health},
		},
			append(projection.Endpoints(env.Service, following, replicating, search.following),
				endpoint.Handle(orderapi.Create, h.create),
				endpoint.Handle(orderapi.Get, h.get),
				endpoint.Handle(orderapi.List, h.list),
				endpoint.Handle(orderapi.Search, search.find),
				endpoint.HandleStream(orderapi.Export, search.export),
				endpoint.Handle(orderapi.Confirm, h.confirm),
				endpoint.Handle(orderapi.Ship, h.ship),
				endpoint.Handle(orderapi.Deliver, h.deliver),
				endpoint.Handle(orderapi.Cancel, h.cancel),
				endpoint.Handle(orderapi.History, h.history))...),
	)
}
