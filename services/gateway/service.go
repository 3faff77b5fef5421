package gateway

import (
	"context"
	"slices"

	"sluice/pkg/app"
	"sluice/services/notification/notificationapi"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
)

// Service is the gateway.
var Service = app.Service{Name: "gateway", Run: run}

func run(ctx context.Context, env app.Env) error {
	g := New(Config{
		Addr: env.HTTPAddr, Caller: env.Caller, Log: env.Log, Ready: env.Ready,
		Routes:    slices.Concat(userapi.Routes, orderapi.Routes, notificationapi.Routes),
		Listening: func(address string) { env.Announce("HTTP", "http://"+address) },
	})
	return env.Run(ctx, g)
}
