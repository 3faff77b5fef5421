package gateway

import (
	"context"
	"slices"

	"sluice/pkg/endpoint"
	"sluice/services/gateway/gatewayapi"
)

// Endpoints returns what the gateway serves over NATS, beside its health.
func (g *Gateway) Endpoints() []endpoint.Handler {
	return []endpoint.Handler{endpoint.Handle(gatewayapi.Routes, g.routes)}
}

// routes shows the table.
func (g *Gateway) routes(context.Context, gatewayapi.RoutesRequest) (gatewayapi.RoutesResponse, error) {
	t := g.table.Load()
	res := gatewayapi.RoutesResponse{Routes: make([]gatewayapi.Route, len(t.routes)), Refused: slices.Clone(t.refused)}
	for i, r := range t.routes {
		verb, path := r.spec.Route()
		res.Routes[i] = gatewayapi.Route{
			Method: verb, Path: path, Service: r.spec.Service, Endpoint: r.spec.Name, Version: r.version,
			Access: r.spec.Auth, Streaming: r.spec.Streaming,
		}
	}
	return res, nil
}
