// Package notification is the notification service: it writes to users about what
// happened to them, and to operators about alerts. It reacts to the events of users,
// orders and alerts, sends mail, and records in the stream NOTIFICATIONS what was sent and
// what could not be.
package notification

import (
	"context"
	"fmt"

	"sluice/pkg/aggregate"
	"sluice/pkg/app"
	"sluice/pkg/bus"
	"sluice/pkg/endpoint"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
	"sluice/services/notification/notificationapi"
	"sluice/services/order/orderapi"
	"sluice/services/registry/registryapi"
	"sluice/services/user/userapi"
	"sluice/streams"
)

// Service is the notification service.
var Service = app.Service{Name: "notification", Run: run, Settings: defaults()}

func run(ctx context.Context, env app.Env) error {
	s := app.SettingsOf[settings](env)
	mail, err := newMailer(env, s)
	if err != nil {
		return err
	}
	store := eventstore.New(env.JetStream, streams.Notifications, notificationapi.Events, eventstore.SyncAlways(env.SyncAlways))
	if err := store.Check(ctx); err != nil {
		return err
	}
	if err := store.PublishSchemas(ctx, streams.BucketSchemas); err != nil {
		return err
	}
	userStore := eventstore.New(env.JetStream, streams.Users, userapi.Events)
	orderStore := eventstore.New(env.JetStream, streams.Orders, orderapi.Events)
	alertStore := eventstore.New(env.JetStream, streams.Alerts, registryapi.AlertEvents)
	view := projection.KV(env.JetStream, streams.BucketNotifications, project)
	following := view.Follow(store, projection.Config{Log: env.Log})
	replica := projection.KV(env.JetStream, streams.BucketNotificationUsers, replicate)
	replicating := replica.Follow(userStore, projection.Config{Log: env.Log, Erases: true})
	r := reactions{
		notifications: aggregate.New(store, apply), users: replica, replicating: replicating,
		mail: mail, operators: s.operators(), js: env.JetStream, log: env.Log,
	}
	h := handlers{view: view}

	nc, err := env.Connect("endpoints")
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return env.Run(ctx,
		following,
		replicating,
		bus.Consume(env.JetStream, env.Group(streams.NotificationGuard), bus.Config{Log: env.Log},
			aggregate.Guard(store, streams.NotificationGuard, env.Log)),
		bus.Consume(env.JetStream, env.Group(streams.NotificationUsers), bus.Config{Log: env.Log, Read: userStore.Reader().Read},
			bus.On(r.userCreated), bus.On(r.userErased)),
		bus.Consume(env.JetStream, env.Group(streams.NotificationOrders), bus.Config{Log: env.Log, Read: orderStore.Reader().Read},
			bus.On(r.orderCreated)),
		bus.Consume(env.JetStream, env.Group(streams.NotificationAlerts), bus.Config{Log: env.Log, Read: alertStore.Reader().Read},
			bus.On(r.alertRaised), bus.On(r.alertResolved)),
		endpoint.Serve(nc, endpoint.ServiceConfig{
			Name: env.Service, Version: env.Version, Description: "Notifications: mail to users about what happened", Log: env.Log, Verify: env.Verify,
			Health: map[string]func() error{"read-model": following.Health, "replica-of-users": replicating.Health},
		},
			append(projection.Endpoints(env.Service, following, replicating),
				endpoint.Handle(notificationapi.List, h.list))...),
	)
}
