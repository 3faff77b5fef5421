package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// documentPath is where the description of everything else is.
const documentPath = "/openapi.json"

// document answers with the description of the routes that there are now.
func (g *Gateway) document(w http.ResponseWriter, req *http.Request) {
	d, err := g.table.Load().document()
	if err != nil {
		g.fail(w, req, fmt.Errorf("describe the routes: %w", err))
		return
	}
	h := w.Header()
	h.Set(headerETag, `"`+d.tag+`"`)
	h.Set("Cache-Control", "no-cache")
	if strings.Contains(req.Header.Get(headerIfNoneMatch), `"`+d.tag) { // compressed or not
		w.WriteHeader(http.StatusNotModified)
		return
	}
	g.write(w, req, http.StatusOK, "application/json", d.text)
}

// document is a description in OpenAPI 3.1 and the tag that tells it from others.
type document struct {
	text []byte
	tag  string
}

// describe writes the description of routes.
func (g *Gateway) describe(routes []route) (document, error) {
	paths := make(map[string]map[string]operation)
	schemas := map[string]any{"Problem": problemSchema}
	add := func(verb, path string, o operation) {
		if paths[path] == nil {
			paths[path] = make(map[string]operation)
		}
		paths[path][strings.ToLower(verb)] = o
	}
	for _, own := range g.own {
		verb, path, _ := strings.Cut(own.pattern, " ")
		add(verb, path, own.operation)
	}
	for _, r := range routes {
		o, err := r.operation(schemas)
		if err != nil {
			return document{}, fmt.Errorf("%s: %w", r.spec.Subject, err)
		}
		verb, path := r.spec.Route()
		add(verb, path, o)
	}
	text, err := json.Marshal(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Sluice", "version": g.cfg.Version,
			"description": "The endpoints of the services that run now. Errors are problems as RFC 9457 has them.",
		},
		"servers": []object{{"url": "/"}},
		"paths":   paths,
		"components": object{
			"schemas": schemas, "parameters": parameters, "headers": headers, "responses": responses,
			"securitySchemes": object{
				"bearer": object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The access_token of a session: POST /v1/sessions."},
			},
		},
	}, json.Deterministic(true))
	if err != nil {
		return document{}, err
	}
	sum := sha256.Sum256(text)
	return document{text: text, tag: hex.EncodeToString(sum[:12])}, nil
}

// object is a part of the description.
type object map[string]any

// operation is what can be done with one method on one path.
type operation struct {
	ID          string            `json:"operationId"`
	Description string            `json:"description,omitempty"`
	Tags        []string          `json:"tags,omitempty"`
	Access      string            `json:"x-access,omitempty"`
	Security    []object          `json:"security"`
	Parameters  []object          `json:"parameters,omitempty"`
	Body        object            `json:"requestBody,omitempty"`
	Responses   map[string]object `json:"responses"`
}

func reference(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }

// refused adds the problems that an operation may answer with.
func (o *operation) refused(statuses ...int) {
	for _, status := range append(statuses, http.StatusTooManyRequests, http.StatusInternalServerError) {
		o.Responses[strconv.Itoa(status)] = reference("responses", "Problem")
	}
}

var problemSchema = object{
	"type": "object", "description": "What is wrong, as RFC 9457 has it.",
	"properties": object{
		"type": object{"type": "string"}, "title": object{"type": "string"}, "status": object{"type": "integer"},
		"detail": object{"type": "string"},
		"code": object{
			"type": "string", "description": "What to do about it depends on this.",
			"enum": []string{"invalid", "unauthenticated", "forbidden", "not_found", "conflict", "rate_limited", "internal", "unavailable", "deadline"},
		},
		"fields": object{
			"type": "array", "items": object{
				"type": "object", "required": []string{"field", "message"},
				"properties": object{"field": object{"type": "string"}, "message": object{"type": "string"}},
			},
		},
		"correlation_id": object{"type": "string"},
	},
	"required": []string{"type", "title", "status", "detail", "code", "correlation_id"},
}

func headerParameter(name, description string) object {
	return object{"name": name, "in": "header", "description": description, "schema": object{"type": "string"}}
}

// parameters are the headers of requests, by what they are called in components.
var parameters = object{
	"IdempotencyKey": object{
		"name": "Idempotency-Key", "in": "header", "schema": object{"type": "string", "minLength": 1, "maxLength": 255},
		"description": "Makes repeats of the request one request. 1 to 255 printable ASCII characters.",
	},
	"Position":      headerParameter("Sluice-Position", "What the answer must take into account: the Sluice-Position of a write, \"ORDERS=1234\"."),
	"CorrelationID": headerParameter("Sluice-Correlation-Id", "Names the request in logs, events and traces. 1 to 128 of [A-Za-z0-9_.-]."),
	"IfMatch":       headerParameter("If-Match", "The ETag of what the decision rests on. With another version the answer is 412."),
	"IfNoneMatch":   headerParameter("If-None-Match", "ETags that are known already. With one of them the answer is 304."),
}

func headerOf(description string) object {
	return object{"description": description, "schema": object{"type": "string"}}
}

// headers are those of answers, by what they are called in components.
var headers = object{
	"CorrelationID": headerOf("Names the request in logs, events and traces."),
	"Position":      headerOf("Where a write lies in its stream, \"ORDERS=1234\"."),
	"ETag":          headerOf("The version, for If-Match and If-None-Match."),
	"Location":      headerOf("Where to find what was created."),
	"RetryAfter":    headerOf("Seconds after which another attempt makes sense."),
}

// responses are answers that many operations have.
var responses = object{
	"Problem": object{
		"description": "What is wrong.",
		"headers": object{
			"Sluice-Correlation-Id": reference("headers", "CorrelationID"), "Sluice-Position": reference("headers", "Position"),
			"Retry-After": reference("headers", "RetryAfter"),
		},
		"content": object{"application/problem+json": object{"schema": reference("schemas", "Problem")}},
	},
	"NotModified": object{
		"description": "What is there is known already.",
		"headers":     object{"Sluice-Correlation-Id": reference("headers", "CorrelationID"), "ETag": reference("headers", "ETag")},
	},
}
