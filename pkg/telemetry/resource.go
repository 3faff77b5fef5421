package telemetry

import (
	"cmp"
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
)

// describe returns the resource of a service of the process, or of the process itself
// when service is empty. It says nothing of the command line or of who runs it. An
// error is about a part of it.
func describe(ctx context.Context, c Config, service string) (*resource.Resource, error) {
	own := []attribute.KeyValue{
		attribute.String("service.version", c.Version),
		attribute.String("service.instance.id", c.instance),
	}
	name := cmp.Or(service, c.Name)
	if service == "" && len(c.Services) == 1 {
		name = c.Services[0]
	}
	if name != c.Name {
		own = append(own, attribute.String("service.namespace", c.Name))
	}
	if service != "" {
		own = append(own, attribute.String("sluice.service", service))
	}
	r, err := resource.New(ctx,
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(), resource.WithProcessExecutableName(),
		resource.WithProcessRuntimeName(), resource.WithProcessRuntimeVersion(),
		resource.WithAttributes(append(own, attribute.String("service.name", name))...),
		resource.WithFromEnv(),
	)
	if err != nil {
		return r, fmt.Errorf("find out what the process is: %w", err)
	}
	return r, nil
}
