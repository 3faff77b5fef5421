// Command services is Sluice: the toolkit's commerce backend in one binary.
//
//	go run ./services              everything, with an embedded NATS server
//	go run ./services order user   these services, against $NATS_URL
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/app"
	"sluice/services/deadletter"
	"sluice/services/deadletter/deadletterapi"
	"sluice/services/gateway"
	"sluice/services/notification"
	"sluice/services/notification/notificationapi"
	"sluice/services/order"
	"sluice/services/order/orderapi"
	"sluice/services/registry"
	"sluice/services/registry/registryapi"
	"sluice/services/user"
	"sluice/services/user/userapi"
	"sluice/streams"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	p := program()
	p.Reload = reload
	os.Exit(app.Main(ctx, p))
}

// program is everything that Sluice consists of.
func program() app.Program {
	return app.Program{
		Name: "sluice", Version: "0.1.0", Setup: setUp, Groups: streams.Groups(), Routes: streams.Routes(),
		Endpoints: slices.Concat(userapi.Routes, orderapi.Routes, notificationapi.Routes, deadletterapi.Routes, registryapi.Routes),
		Services:  []app.Service{user.Service, order.Service, notification.Service, deadletter.Service, registry.Service, gateway.Service},
	}
}

// setUp brings the streams, buckets and consumers of the services that start into
// being, or verifies them.
func setUp(ctx context.Context, js jetstream.JetStream, log *slog.Logger, what app.Setup) error {
	set, err := streams.Load(what.Services...)
	if err != nil {
		return err
	}
	return set.Replicated(what.Replicas).Routed(what.Subjects).Reconcile(ctx, js, log)
}
