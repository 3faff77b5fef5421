// Package user is the user service: who there is. It keeps the history of users in
// the stream USERS, makes usernames and e-mail addresses unique by claims in the same
// batch as the event, and password hashes in a bucket that nobody else reads.
package user

import (
	"context"
	"fmt"

	"sluice/pkg/aggregate"
	"sluice/pkg/app"
	"sluice/pkg/bus"
	"sluice/pkg/endpoint"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
	"sluice/services/user/userapi"
	"sluice/streams"
)

// Service is the user service.
var Service = app.Service{Name: "user", Run: run}

func run(ctx context.Context, env app.Env) error {
	store := eventstore.New(env.JetStream, streams.Users, userapi.Events, eventstore.SyncAlways(env.SyncAlways))
	if err := store.Check(ctx); err != nil {
		return err
	}
	if err := store.PublishSchemas(ctx, streams.BucketSchemas); err != nil {
		return err
	}
	if err := store.Anchor(ctx); err != nil {
		return err
	}
	view := projection.KV(env.JetStream, streams.BucketUsers, project)
	following := view.Follow(store, projection.Config{Log: env.Log, Erases: true})
	passwords, err := openPasswords(ctx, env.JetStream)
	if err != nil {
		return err
	}
	claims, err := openClaims(ctx, env.JetStream)
	if err != nil {
		return err
	}
	users := aggregate.New(store, apply)
	erasing := erasure{users: users, js: env.JetStream, passwords: passwords, log: env.Log}
	h := handlers{users: users, store: store, view: view, passwords: passwords, claims: claims}

	nc, err := env.Connect("endpoints")
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return env.Run(ctx,
		following,
		bus.Consume(env.JetStream, env.Group(streams.UserGuard), bus.Config{Log: env.Log},
			aggregate.Guard(store, streams.UserGuard, env.Log)),
		bus.Consume(env.JetStream, env.Group(streams.UserIntake), bus.Config{Log: env.Log, Key: aggregate.IntakeKey, Erases: true},
			aggregate.Intake(userapi.Events, aggregate.Take(h.takeCreated))),
		bus.Consume(env.JetStream, env.Group(streams.UserErasure), bus.Config{Log: env.Log, Read: store.Reader().Read},
			bus.On(erasing.userErased)),
		endpoint.Serve(nc, endpoint.ServiceConfig{
			Name: env.Service, Version: env.Version, Description: "Users: who there is", Log: env.Log,
			Health: map[string]func() error{"read-model": following.Health},
		},
			append(projection.Endpoints(env.Service, following),
				endpoint.Handle(userapi.Create, h.create),
				endpoint.Handle(userapi.Get, h.get),
				endpoint.Handle(userapi.List, h.list),
				endpoint.Handle(userapi.Update, h.update),
				endpoint.Handle(userapi.Erase, h.erase),
				endpoint.Handle(userapi.Authenticate, h.authenticate))...),
	)
}
