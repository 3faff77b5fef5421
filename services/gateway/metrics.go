package gateway

import (
	"net/http"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/telemetry"
)

// metrics shows what the process measures, to operators.
func (g *Gateway) metrics(w http.ResponseWriter, req *http.Request) {
	ctx, err := g.identify(req)
	if err == nil {
		err = endpoint.Operator.Check(auth.From(ctx))
	}
	if err != nil {
		g.fail(w, req, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	telemetry.MetricsHandler().ServeHTTP(w, req)
}

func metricsOperation() operation {
	o := ownOperation("metrics", "What this process measures, as Prometheus reads it.", endpoint.Operator)
	o.Responses["200"] = answerOf("The metrics.", "text/plain", object{"type": "string"})
	o.refused(http.StatusUnauthorized, http.StatusForbidden)
	return o
}
