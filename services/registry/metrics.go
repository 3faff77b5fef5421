package registry

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"sluice/services/registry/registryapi"
)

const (
	// observePatience is how long collecting may wait for the read model.
	observePatience = time.Second
	// mostMeasured bounds the services that are told apart: whoever registers them chooses
	// their names. The others are one.
	mostMeasured  = 200
	otherServices = "_OTHER"
)

// gauge tells how many instances of each service there are and how they are, each time
// that metrics are collected. Every replica tells the same. It is a part of the service.
type gauge struct {
	handlers

	meters       metric.MeterProvider // nil: the process's
	registration metric.Registration
}

// Start begins to tell.
func (g *gauge) Start(context.Context) error {
	if g.meters == nil {
		g.meters = otel.GetMeterProvider()
	}
	meter := g.meters.Meter("sluice/services/registry")
	instances, err := meter.Int64ObservableGauge("sluice.registry.instances", metric.WithUnit("{instance}"),
		metric.WithDescription("Instances of a service by how they are."))
	if err == nil {
		g.registration, err = meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
			return g.observe(ctx, o, instances)
		}, instances)
	}
	if err != nil {
		return fmt.Errorf("meter of instances: %w", err)
	}
	return nil
}

// Stop tells nothing more.
func (g *gauge) Stop(context.Context) error {
	if err := g.registration.Unregister(); err != nil {
		return fmt.Errorf("give up the meter of instances: %w", err)
	}
	return nil
}

func (g *gauge) observe(ctx context.Context, o metric.Observer, instances metric.Int64Observable) error {
	ctx, cancel := context.WithTimeout(ctx, observePatience)
	defer cancel()
	services, err := listAll(ctx, g.view)
	if err != nil {
		return err
	}
	counts := make(map[string]map[registryapi.Status]int64)
	for _, s := range services {
		name := s.Name
		if len(counts) >= mostMeasured {
			name = otherServices
		}
		if counts[name] == nil {
			counts[name] = map[registryapi.Status]int64{registryapi.StatusHealthy: 0, registryapi.StatusUnhealthy: 0, registryapi.StatusUnknown: 0}
		}
		for _, i := range g.registered(ctx, s) {
			counts[name][i.Status]++
		}
		for _, r := range s.Running {
			counts[name][r.Status]++
		}
	}
	for name, of := range counts {
		for status, n := range of {
			o.ObserveInt64(instances, n, metric.WithAttributes(
				attribute.String("sluice.service", name), attribute.String("sluice.service.status", string(status))))
		}
	}
	return nil
}
