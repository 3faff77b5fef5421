// Package registry is the service registry: what runs and how it is. Services on NATS
// are found by asking them, and say themselves how they are. Others are registered, and
// are checked over HTTP or HTTPS. The history of who came and went and how they were is
// in the stream SERVICES.
package registry

import (
	"context"
	"fmt"

	"sluice/pkg/aggregate"
	"sluice/pkg/app"
	"sluice/pkg/bus"
	"sluice/pkg/discovery"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
	"sluice/services/registry/registryapi"
	"sluice/streams"
)

// Service is the registry.
var Service = app.Service{Name: "registry", Run: run}

func run(ctx context.Context, env app.Env) error {
	allowed, err := allowedAddresses(env)
	if err != nil {
		return err
	}
	roots, err := authorities(env)
	if err != nil {
		return err
	}
	store := eventstore.New(env.JetStream, streams.Services, registryapi.Events, eventstore.SyncAlways(env.SyncAlways))
	if err := store.Check(ctx); err != nil {
		return err
	}
	if err := store.PublishSchemas(ctx, streams.BucketSchemas); err != nil {
		return err
	}
	kv, err := env.JetStream.KeyValue(ctx, streams.BucketServiceChecks)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", streams.BucketServiceChecks, err)
	}
	view := projection.KV(env.JetStream, streams.BucketServices, project)
	following := view.Follow(store, projection.Config{Log: env.Log})
	services := aggregate.New(store, apply)
	found, prober := discovery.New(env.NATS, discovery.Config{}), newProber(allowed, roots)
	checking := &checker{
		nc: env.NATS, services: services, view: view, checks: checks{kv}, prober: prober, log: env.Log,
		presence: presence{found: found, services: services, view: view, every: askEvery, settle: settleTime, log: env.Log},
		lease:    lease{kv: kv, holder: event.NewID(), term: leaseTime, log: env.Log},
	}
	h := handlers{
		services: services, view: view, found: found,
		checks: checks{kv}, prober: prober, addresses: allowed, log: env.Log,
	}

	nc, err := env.Connect("endpoints")
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return env.Run(ctx,
		services.Snapshots(streams.BucketServiceSnapshots, aggregate.SnapshotConfig{Log: env.Log}),
		following,
		bus.Consume(env.JetStream, env.Group(streams.RegistryGuard), bus.Config{Log: env.Log},
			aggregate.Guard(store, streams.RegistryGuard, env.Log)),
		checking,
		endpoint.Serve(nc, endpoint.ServiceConfig{
			Name: env.Service, Version: env.Version, Description: "The registry: what runs and how it is", Log: env.Log, Verify: env.Verify,
			Health: map[string]func() error{"read-model": following.Health},
		},
			append(projection.Endpoints(env.Service, following),
				endpoint.Handle(registryapi.Register, h.register),
				endpoint.Handle(registryapi.Deregister, h.deregister),
				endpoint.Handle(registryapi.Get, h.get),
				endpoint.Handle(registryapi.List, h.list),
				endpoint.Handle(registryapi.ChangeCheck, h.changeCheck),
				endpoint.Handle(registryapi.HealthCheck, h.healthCheck))...),
	)
}
