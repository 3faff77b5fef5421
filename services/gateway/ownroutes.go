package gateway

import (
	"net/http"

	"sluice/pkg/endpoint"
)

// ownRoute is one that the gateway answers itself.
type ownRoute struct {
	pattern   string
	handler   http.Handler
	operation operation
}

func (g *Gateway) ownRoutes() []ownRoute {
	routes := []ownRoute{
		{"GET /healthz", http.HandlerFunc(g.healthz), statusOperation("healthz", "Says that the gateway runs.")},
		{"GET /readyz", http.HandlerFunc(g.readyz), statusOperation("readyz", "Says whether requests would be answered, and who is not ready.", http.StatusServiceUnavailable)},
		{"GET /metrics", http.HandlerFunc(g.metrics), metricsOperation()},
		{"GET " + documentPath, compressed(http.HandlerFunc(g.document)), documentOperation()},
	}
	if len(g.cfg.Intakes) > 0 {
		routes = append(routes, ownRoute{"POST " + eventsPath, http.HandlerFunc(g.accept), acceptOperation()})
	}
	if g.live != nil {
		routes = append(routes, ownRoute{"GET " + eventsPath, g.live, liveOperation()})
	}
	return routes
}

func answerOf(description, media string, schema object) object {
	return object{
		"description": description,
		"headers":     object{"Sluice-Correlation-Id": reference("headers", "CorrelationID")},
		"content":     object{media: object{"schema": schema}},
	}
}

func ownOperation(name, description string, access endpoint.Access) operation {
	o := operation{
		ID: "gateway." + name, Description: description, Tags: []string{"gateway"}, Access: string(access),
		Security: []object{}, Parameters: []object{reference("parameters", "CorrelationID")}, Responses: make(map[string]object),
	}
	if access != endpoint.Public {
		o.Security = []object{{"bearer": []string{}}}
	}
	return o
}

func statusOperation(name, description string, refusals ...int) operation {
	o := ownOperation(name, description, endpoint.Public)
	o.Responses["200"] = answerOf("It is well.", "application/json", object{
		"type": "object", "required": []string{"status"}, "properties": object{"status": object{"const": "ok"}},
	})
	o.refused(refusals...)
	return o
}

func documentOperation() operation {
	o := ownOperation("openapi", "Describes all of this.", endpoint.Public)
	o.Parameters = append(o.Parameters, reference("parameters", "IfNoneMatch"))
	o.Responses["200"] = answerOf("The description.", "application/json", object{"type": "object"})
	o.Responses["304"] = reference("responses", "NotModified")
	o.refused()
	return o
}

func acceptOperation() operation {
	o := ownOperation("accept", "Takes one CloudEvent for the service that owns its type, which judges it later.", endpoint.Operator)
	text := object{"type": "string", "minLength": 1}
	o.Body = object{"required": true, "content": object{
		"application/cloudevents+json": object{"schema": object{
			"type": "object", "required": []string{"specversion", "id", "source", "type"},
			"properties": object{
				"specversion": object{"const": "1.0"}, "id": text, "source": text, "type": text, "subject": text,
				"time": object{"type": "string", "format": "date-time"}, "data": true,
			},
		}},
		"application/json": object{"schema": object{
			"description": "The data alone, with the attributes in ce- headers.",
		}},
	}}
	o.Responses["202"] = answerOf("It is stored.", "application/json", object{"type": "object"})
	o.refused(http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusServiceUnavailable)
	return o
}
