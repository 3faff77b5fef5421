package gateway

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/pkg/endpoint"
)

// objectSchema is the part of a request's schema that is dealt out to path, query and
// body; the rest stays as it is.
type objectSchema struct {
	Properties map[string]jsontext.Value `json:"properties"`
	Required   []string                  `json:"required,omitempty"`
	Rest       map[string]jsontext.Value `json:",embed"`
}

// operation describes the route. The schemas of what it takes and returns are added to
// schemas.
func (r route) operation(schemas map[string]any) (operation, error) {
	var request objectSchema
	if err := json.Unmarshal(r.spec.Request, &request); err != nil {
		return operation{}, err
	}
	name := r.spec.Service + "." + r.spec.Name
	o := operation{
		ID: name, Description: r.spec.Description, Tags: []string{r.spec.Service}, Access: string(r.spec.Auth),
		Security: []object{}, Responses: make(map[string]object),
	}
	if r.spec.Auth != endpoint.Public {
		o.Security = []object{{"bearer": []string{}}}
	}
	o.Parameters = append(o.Parameters, reference("parameters", "CorrelationID"))
	for _, p := range r.parameters {
		o.Parameters = append(o.Parameters, object{"name": p, "in": "path", "required": true, "schema": request.Properties[p]})
		delete(request.Properties, p)
		request.Required = slices.DeleteFunc(request.Required, func(name string) bool { return name == p })
	}
	switch r.pattern.verb {
	case http.MethodGet, http.MethodDelete:
		o.Parameters = append(o.Parameters, r.query(request)...)
	default:
		if len(request.Properties) > 0 {
			schemas[name+".request"] = request
			o.Body = object{
				"required": len(request.Required) > 0,
				"content":  object{"application/json": object{"schema": reference("schemas", name+".request")}},
			}
		}
	}
	schemas[name+".response"] = r.spec.Response
	r.describeHeaders(&o)
	o.Responses[strconv.Itoa(r.status())] = r.success(name)
	o.refused(r.refusals(o.Body != nil)...)
	return o, nil
}

// status is that of a success.
func (r route) status() int {
	if r.spec.Location != "" {
		return http.StatusCreated
	}
	return http.StatusOK
}

// query returns the parameters of a request that has no body.
func (r route) query(request objectSchema) []object {
	var query []object
	for _, name := range slices.Sorted(maps.Keys(request.Properties)) {
		if isScalar(r.types[name]) {
			query = append(query, object{
				"name": name, "in": "query", "required": slices.Contains(request.Required, name), "schema": request.Properties[name],
			})
		}
	}
	return query
}

func (r route) describeHeaders(o *operation) {
	add := func(name string) { o.Parameters = append(o.Parameters, reference("parameters", name)) }
	if r.pattern.verb == http.MethodGet {
		add("Position")
		if r.versioned {
			add("IfNoneMatch")
			o.Responses["304"] = reference("responses", "NotModified")
		}
	} else if _, path := r.spec.Route(); path != sessionsPath {
		add("IdempotencyKey")
	}
	if r.versioned {
		add("IfMatch")
		o.Responses["412"] = reference("responses", "Problem")
	}
}

func (r route) success(name string) object {
	h := object{"Sluice-Correlation-Id": reference("headers", "CorrelationID")}
	if r.pattern.verb != http.MethodGet {
		h["Sluice-Position"] = reference("headers", "Position")
	}
	if r.versioned {
		h["ETag"] = reference("headers", "ETag")
	}
	if r.spec.Location != "" {
		h["Location"] = reference("headers", "Location")
	}
	media := "application/json"
	if r.spec.Streaming {
		media = typeLines
	}
	return object{
		"description": cmp.Or(r.spec.Description, "It is done."), "headers": h,
		"content": object{media: object{"schema": reference("schemas", name+".response")}},
	}
}

// refusals returns the statuses of problems that the route may answer with, beside
// those that every route has.
func (r route) refusals(hasBody bool) []int {
	statuses := []int{http.StatusBadRequest, http.StatusNotFound, http.StatusServiceUnavailable, http.StatusGatewayTimeout}
	if r.spec.Auth != endpoint.Public {
		statuses = append(statuses, http.StatusForbidden)
	}
	if r.pattern.verb != http.MethodGet {
		statuses = append(statuses, http.StatusConflict)
	}
	if hasBody {
		statuses = append(statuses, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	return append(statuses, http.StatusUnauthorized) // also where nobody needs a token: one that is no good
}
