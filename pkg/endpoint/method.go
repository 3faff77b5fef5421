package endpoint

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"sluice/pkg/event"
)

// Method declares one endpoint: what it is called, what goes in and what comes out.
// Req must be a struct; an endpoint that needs nothing takes struct{}.
type Method[Req, Res any] struct {
	Service     string // "order"
	Name        string // "confirm"
	Description string // one sentence, for those who look from outside

	// HTTP is the route the gateway offers, "POST /v1/orders/{id}/confirm". A path
	// parameter is a member of the request. Empty means no route.
	HTTP string
	// Location is the path of what the method creates, "/v1/orders/{id}", filled from
	// the response. With it, success is 201 Created instead of 200.
	Location string
	// Idempotent says that a caller who lost the reply may repeat the request: it is
	// a query, or a command that honours Idempotency-Key.
	Idempotent bool
	// Auth says who may call. It must be declared: what is not, is open to nobody and
	// does not start.
	Auth Access
}

// Subject returns the NATS subject the method is served on, "svc.order.confirm".
func (m Method[Req, Res]) Subject() string { return subjectPrefix + m.Service + "." + m.Name }

// Spec returns the declaration without its Go types. It panics when the declaration
// is malformed, since that is a mistake in the program.
func (m Method[Req, Res]) Spec() Spec {
	return Spec{
		Service: m.Service, Name: m.Name, Subject: m.Subject(), Description: m.Description,
		HTTP: m.HTTP, Location: m.Location, Idempotent: m.Idempotent, Auth: m.Auth,
		Request: requestSchema[Req](), Response: event.SchemaOf[Res](),
	}.checked()
}

// Spec describes a method to those who do not know its types: the gateway, and
// whoever reads the service's metadata with `nats micro info`.
type Spec struct {
	Service, Name, Subject, Description string

	HTTP, Location string
	Auth           Access
	Idempotent     bool
	Streaming      bool // Response is of one item, see [Stream]

	Request, Response jsontext.Value // JSON Schemas, compact
}

// Describe returns the specs of handlers, in their order.
func Describe(handlers ...Handler) []Spec {
	specs := make([]Spec, len(handlers))
	for i, h := range handlers {
		specs[i] = h.spec
	}
	return specs
}

// Route splits HTTP into verb and path; both are empty when there is no route.
func (s Spec) Route() (verb, path string) {
	verb, path, _ = strings.Cut(s.HTTP, " ")
	return verb, path
}

// metadata returns what the endpoint shows of itself in $SRV.INFO.
func (s Spec) metadata() map[string]string {
	m := map[string]string{
		"idempotent":      strconv.FormatBool(s.Idempotent),
		"schema.request":  string(s.Request),
		"schema.response": string(s.Response),
	}
	if s.Streaming {
		m["streaming"] = "true"
	}
	verb, path := s.Route()
	for name, value := range map[string]string{
		"description": s.Description, "http.method": verb, "http.path": path,
		"http.location": s.Location, "http.auth": string(s.Auth),
	} {
		if value != "" {
			m[name] = value
		}
	}
	return m
}

var (
	namePattern     = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	routePattern    = regexp.MustCompile(`^(GET|POST|PUT|PATCH|DELETE) (/([a-z0-9._-]+|\{[a-z_][a-z0-9_]*\}))+$`)
	locationPattern = regexp.MustCompile(`^(/([a-z0-9._-]+|\{[a-z_][a-z0-9_]*\}))+$`)
)

// checked returns s, and panics when it is malformed.
func (s Spec) checked() Spec {
	if err := s.check(); err != nil {
		panic(fmt.Sprintf("endpoint %s: %v", s.Subject, err))
	}
	return s
}

func (s Spec) check() error {
	switch {
	case !namePattern.MatchString(s.Service), !namePattern.MatchString(s.Name):
		return fmt.Errorf("service and name must be [a-z0-9-]")
	case s.HTTP != "" && !routePattern.MatchString(s.HTTP):
		return fmt.Errorf("HTTP route %q is not like \"POST /v1/orders/{id}\"", s.HTTP)
	case s.Location != "" && !locationPattern.MatchString(s.Location):
		return fmt.Errorf("location %q is not like \"/v1/orders/{id}\"", s.Location)
	case !s.Auth.known():
		return fmt.Errorf("access %q is not one of public, user, operator, admin and service", s.Auth)
	default:
		return nil
	}
}
