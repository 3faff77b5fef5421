// Package deadletter is the dead letter service: it shows what handlers gave up on,
// and lets an administrator have it handled anew or thrown away. It keeps nothing of
// its own; dead letters are where the handlers put them, in the stream DEADLETTERS.
package deadletter

import (
	"context"
	"fmt"

	"sluice/pkg/app"
	"sluice/pkg/bus"
	"sluice/pkg/endpoint"
	"sluice/services/deadletter/deadletterapi"
)

// Service is the dead letter service.
var Service = app.Service{Name: "deadletter", Run: run}

func run(ctx context.Context, env app.Env) error {
	h := handlers{letters: bus.NewLetterbox(env.JetStream), log: env.Log}
	nc, err := env.Connect("endpoints")
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return env.Run(ctx,
		endpoint.Serve(nc, endpoint.ServiceConfig{
			Name: env.Service, Version: env.Version, Description: "Dead letters: what handlers gave up on", Log: env.Log, Verify: env.Verify,
		},
			endpoint.Handle(deadletterapi.List, h.list),
			endpoint.Handle(deadletterapi.Get, h.get),
			endpoint.Handle(deadletterapi.Redrive, h.redrive),
			endpoint.Handle(deadletterapi.RedriveAll, h.redriveAll),
			endpoint.Handle(deadletterapi.Discard, h.discard)),
	)
}
