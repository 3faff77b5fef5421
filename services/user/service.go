// Package user is the user service: who there is, and who is logged in. It keeps the
// history of users in the stream USERS, makes usernames and e-mail addresses unique by
// claims in the same batch as the event, and keeps password hashes, sessions and the
// keys that sign the tokens of users in buckets that nobody else reads.
package user

import (
	"context"
	"fmt"
	"time"

	"sluice/pkg/aggregate"
	"sluice/pkg/app"
	"sluice/pkg/auth"
	"sluice/pkg/bus"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
	"sluice/services/user/userapi"
	"sluice/streams"
)

// adminTimeout is for a replica that died while it made the user admin, and some more.
const adminTimeout = 30 * time.Second

// Service is the user service.
var Service = app.Service{Name: "user", Run: run, Settings: defaults()}

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
	s := app.SettingsOf[settings](env)
	h, err := newHandlers(ctx, env, s, store)
	if err != nil {
		return err
	}
	h.view = view
	erasing := erasure{users: h.users, js: env.JetStream, passwords: h.passwords, sessions: h.sessions, log: env.Log}
	if err := h.makeAdmin(ctx, env, s.AdminPassword); err != nil {
		return err
	}

	nc, err := env.Connect("endpoints")
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return env.Run(ctx,
		following,
		h.ring,
		bus.Consume(env.JetStream, env.Group(streams.UserGuard), bus.Config{Log: env.Log},
			aggregate.Guard(store, streams.UserGuard, env.Log)),
		bus.Consume(env.JetStream, env.Group(streams.UserIntake), bus.Config{Log: env.Log, Key: aggregate.IntakeKey, Erases: true},
			aggregate.Intake(userapi.Events, aggregate.Take(h.takeCreated))),
		bus.Consume(env.JetStream, env.Group(streams.UserErasure), bus.Config{Log: env.Log, Read: store.Reader().Read},
			bus.On(erasing.userErased)),
		endpoint.Serve(nc, endpoint.ServiceConfig{
			Name: env.Service, Version: env.Version, Description: "Users: who there is", Log: env.Log, Verify: env.Verify,
			Health: map[string]func() error{"read-model": following.Health, "signing-keys": h.ring.Health},
		},
			append(projection.Endpoints(env.Service, following),
				endpoint.Handle(userapi.Create, h.create),
				endpoint.Handle(userapi.Get, h.get),
				endpoint.Handle(userapi.List, h.list),
				endpoint.Handle(userapi.Update, h.update),
				endpoint.Handle(userapi.Erase, h.erase),
				endpoint.Handle(userapi.Authenticate, h.authenticate),
				endpoint.Handle(userapi.SetPassword, h.setPassword),
				endpoint.Handle(userapi.SetRoles, h.setRoles),
				endpoint.Handle(userapi.Login, h.login),
				endpoint.Handle(userapi.Logout, h.logout))...),
	)
}

// newHandlers opens what the service keeps beside the history.
func newHandlers(ctx context.Context, env app.Env, s settings, store *eventstore.Store) (h handlers, err error) {
	h.store, h.users = store, aggregate.New(store, apply)
	h.ring = auth.NewRing(env.JetStream, auth.Users, auth.RingConfig{Bucket: streams.BucketSigningKeys, Period: s.KeyPeriod, Log: env.Log})
	if h.passwords, err = openPasswords(ctx, env.JetStream); err != nil {
		return h, err
	}
	if h.claims, err = openClaims(ctx, env.JetStream); err != nil {
		return h, err
	}
	if h.sessions, err = openSessions(ctx, env.JetStream, env.Log); err != nil {
		return h, err
	}
	if h.attempts, err = openAttempts(ctx, env.JetStream, h.claims.key); err != nil {
		return h, err
	}
	h.admins, err = openAdmins(ctx, env.JetStream, h.isAdmin)
	return h, err
}

// makeAdmin sees to it that somebody can log in who may make others admins. Without a
// password one is made up.
func (h handlers) makeAdmin(ctx context.Context, env app.Env, password string) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	return first{
		handlers: h, password: password, name: event.NewID(),
		tell: func(username, password string) { env.Announce("Admin", username+" / "+password) },
	}.ensure(ctx)
}
