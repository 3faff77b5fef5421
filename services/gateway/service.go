package gateway

import (
	"context"
	"fmt"

	"sluice/pkg/app"
	"sluice/pkg/discovery"
	"sluice/pkg/endpoint"
	"sluice/services/gateway/rpc"
	"sluice/streams"
)

// Service is the gateway.
var Service = app.Service{Name: "gateway", Run: run, Settings: defaultSettings()}

func run(ctx context.Context, env app.Env) error {
	settings := app.SettingsOf[Settings](env)
	policies, err := env.Policies(defaultPolicies(settings.Timeout), policyHooks(env.Log))
	if err != nil {
		return err
	}
	caller := endpoint.NewCaller(env.NATS, endpoint.CallerConfig{}).With(policies) // not env.Caller: see Config
	g := New(Config{
		Addr: env.HTTPAddr, Version: env.Version, Log: env.Log, Ready: env.Ready, Settings: settings, Caller: caller,
		Handlers: rpc.Handlers(rpc.Config{
			Caller: caller, Verify: env.Verify, Log: env.Log, Timeout: settings.Timeout, MaxMessage: int(settings.MaxBody), Closing: ctx.Done(),
		}),
		Discovery: discovery.New(env.NATS, env.Discovery),
		Verify:    env.Verify,
		Intakes: map[string]string{
			streams.Users.Entity:  streams.UserIntake.Stream,
			streams.Orders.Entity: streams.OrderIntake.Stream,
		},
		Histories: histories(),
		JetStream: env.JetStream,
		Listening: func(url string) { env.Announce("HTTP", url) },
	})
	app.OnReload(env, g.Limit)
	nc, err := env.Connect("endpoints")
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return env.Run(ctx,
		endpoint.Serve(nc, endpoint.ServiceConfig{
			Name: env.Service, Version: env.Version, Description: "HTTP outside, endpoints inside", Log: env.Log,
			Verify: env.Verify, Policies: policies, Health: map[string]func() error{"routes": g.Health},
		}, g.Endpoints()...),
		g)
}
