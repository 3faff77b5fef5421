package gateway

import (
	"context"
	"slices"

	"sluice/pkg/app"
	"sluice/services/deadletter/deadletterapi"
	"sluice/services/notification/notificationapi"
	"sluice/services/order/orderapi"
	"sluice/services/registry/registryapi"
	"sluice/services/user/userapi"
	"sluice/streams"
)

// Service is the gateway.
var Service = app.Service{Name: "gateway", Run: run}

func run(ctx context.Context, env app.Env) error {
	g := New(Config{
		Addr: env.HTTPAddr, Caller: env.Caller, Log: env.Log, Ready: env.Ready,
		Routes: slices.Concat(userapi.Routes, orderapi.Routes, notificationapi.Routes, deadletterapi.Routes, registryapi.Routes),
		Intakes: map[string]string{
			streams.Users.Entity:  streams.UserIntake.Stream,
			streams.Orders.Entity: streams.OrderIntake.Stream,
		},
		JetStream: env.JetStream,
		Listening: func(address string) { env.Announce("HTTP", "http://"+address) },
	})
	return env.Run(ctx, g)
}
