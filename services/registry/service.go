// Package registry is the service registry: what runs and how it is. Services on NATS
// are found by asking them, and say themselves how they are. Others are registered, and
// are checked over HTTP or HTTPS. The history of who came and went and how they were is
// in the stream SERVICES. What operators should be told of is in the stream ALERTS. What the
// registry measures is of all of them: how many instances there are, and the streams and
// consumers of JetStream.
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
	"sluice/pkg/telemetry"
	"sluice/services/registry/registryapi"
	"sluice/streams"
)

// Service is the registry.
var Service = app.Service{Name: "registry", Run: run, Settings: defaults()}

func run(ctx context.Context, env app.Env) error {
	s := app.SettingsOf[settings](env)
	allowed := addresses{loopback: s.AllowLoopback}
	roots, err := authorities(s.CAFile)
	if err != nil {
		return err
	}
	limits := s.Alerts
	store := eventstore.New(env.JetStream, streams.Services, registryapi.Events, eventstore.SyncAlways(env.SyncAlways))
	alertStore := eventstore.New(env.JetStream, streams.Alerts, registryapi.AlertEvents, eventstore.SyncAlways(env.SyncAlways))
	for _, one := range []*eventstore.Store{store, alertStore} {
		if err := one.Check(ctx); err != nil {
			return err
		}
		if err := one.PublishSchemas(ctx, streams.BucketSchemas); err != nil {
			return err
		}
	}
	kv, err := env.JetStream.KeyValue(ctx, streams.BucketServiceChecks)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", streams.BucketServiceChecks, err)
	}
	view := projection.KV(env.JetStream, streams.BucketServices, project)
	following := view.Follow(store, projection.Config{Log: env.Log})
	raised := projection.KV(env.JetStream, streams.BucketAlerts, projectAlert)
	followingAlerts := raised.Follow(alertStore, projection.Config{Log: env.Log})
	services := aggregate.New(store, apply)
	found, prober := discovery.New(env.NATS, env.Discovery), newProber(allowed, roots)
	checking := &checker{
		nc: env.NATS, services: services, view: view, checks: checks{kv}, prober: prober, log: env.Log,
		presence: presence{found: found, services: services, view: view, watching: s.Presence, log: env.Log},
		alarm: alarm{
			nc: env.NATS, alerts: aggregate.New(alertStore, applyAlert), raised: raised, every: limits.Every, after: limits.After, log: env.Log,
			watchers: newWatchers(limits, sources{
				js: env.JetStream, groups: streams.Groups(), found: found, caller: env.Caller, view: view, checks: checks{kv},
			}),
		},
		lease: lease{kv: kv, holder: event.NewID(), term: leaseTime, log: env.Log},
	}
	h := handlers{
		services: services, view: view, raised: raised, found: found,
		checks: checks{kv}, prober: prober, addresses: allowed, log: env.Log,
	}

	nc, err := env.Connect("endpoints")
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return env.Run(ctx,
		services.Snapshots(streams.BucketServiceSnapshots, aggregate.SnapshotConfig{Log: env.Log}),
		following,
		followingAlerts,
		bus.Consume(env.JetStream, env.Group(streams.RegistryGuard), bus.Config{Log: env.Log},
			aggregate.Guard(store, streams.RegistryGuard, env.Log)),
		bus.Consume(env.JetStream, env.Group(streams.AlertsGuard), bus.Config{Log: env.Log},
			aggregate.Guard(alertStore, streams.AlertsGuard, env.Log)),
		checking,
		telemetry.ObserveJetStream(env.JetStream, nil, env.Log),
		&gauge{handlers: h},
		endpoint.Serve(nc, endpoint.ServiceConfig{
			Name: env.Service, Version: env.Version, Description: "The registry: what runs and how it is", Log: env.Log, Verify: env.Verify,
			Health: map[string]func() error{"read-model": following.Health, "alerts": followingAlerts.Health},
		},
			append(projection.Endpoints(env.Service, following, followingAlerts),
				endpoint.Handle(registryapi.Register, h.register),
				endpoint.Handle(registryapi.Deregister, h.deregister),
				endpoint.Handle(registryapi.Get, h.get),
				endpoint.Handle(registryapi.List, h.list),
				endpoint.Handle(registryapi.ChangeCheck, h.changeCheck),
				endpoint.Handle(registryapi.HealthCheck, h.healthCheck),
				endpoint.Handle(registryapi.Alerts, h.alerts))...),
	)
}
