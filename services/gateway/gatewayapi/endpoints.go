// Package gatewayapi is what others may know of the gateway: the endpoint that shows
// its routes.
package gatewayapi

import "sluice/pkg/endpoint"

// Routes shows the routes that the gateway which answers has found.
var Routes = endpoint.Method[RoutesRequest, RoutesResponse]{
	Service: "gateway", Name: "routes", HTTP: "GET /v1/routes", Idempotent: true, Auth: endpoint.Admin,
	Description: "Shows the routes of the gateway, and those that it refuses with the reason.",
}

// RoutesRequest asks for the routes.
type RoutesRequest struct{}

// RoutesResponse has routes in the order of their paths.
type RoutesResponse struct {
	Routes  []Route   `json:"routes"`
	Refused []Refusal `json:"refused"`
}

// Route is one way in.
type Route struct {
	Method    string          `json:"method"`
	Path      string          `json:"path"`
	Service   string          `json:"service"`
	Endpoint  string          `json:"endpoint"`
	Version   string          `json:"version"` // the highest one that runs; what the route is made from
	Access    endpoint.Access `json:"access"`
	Streaming bool            `json:"streaming,omitzero"`
}

// Refusal is an endpoint that wants a route and gets none.
type Refusal struct {
	Service  string `json:"service"`
	Endpoint string `json:"endpoint"`
	Version  string `json:"version"`
	Method   string `json:"method,omitempty"`
	Path     string `json:"path,omitempty"`
	Reason   string `json:"reason"`
}
