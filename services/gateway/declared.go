package gateway

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"sluice/pkg/discovery"
	"sluice/pkg/endpoint"
)

// What an endpoint says of itself in $SRV.INFO, where everybody who may use NATS can
// say what they like.
const (
	metaDescription = "description"
	metaIdempotent  = "idempotent"
	metaStreaming   = "streaming"
	metaMethod      = "http.method"
	metaPath        = "http.path"
	metaLocation    = "http.location"
	metaAuth        = "http.auth"
	metaRequest     = "schema.request"
	metaResponse    = "schema.response"
)

const (
	maxDescription = 1000 // bytes
	maxPath        = 256
)

var (
	namePattern = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	pathPattern = regexp.MustCompile(`^/[a-z0-9._-]+(/([a-z0-9._-]+|\{[a-z_][a-z0-9_]*\}))*$`)
	verbPattern = regexp.MustCompile(`^(GET|POST|PUT|PATCH|DELETE)$`)
)

// wantsRoute reports whether an endpoint asks to be reached from outside.
func wantsRoute(e discovery.Endpoint) bool {
	return e.Metadata[metaMethod] != "" || e.Metadata[metaPath] != ""
}

// declared returns the route that an endpoint of a service asks for, or why it can't
// have it. It believes nothing: a subject other than the endpoint's own would let a
// service have our requests sent where it may not send itself, and an endpoint that
// does not say who may call it is open to nobody.
func declared(service, version string, e discovery.Endpoint) (route, error) {
	m := e.Metadata
	spec := endpoint.Spec{
		Service: service, Name: e.Name, Subject: e.Subject, Description: m[metaDescription],
		HTTP: m[metaMethod] + " " + m[metaPath], Location: m[metaLocation], Auth: endpoint.Access(m[metaAuth]),
		Idempotent: m[metaIdempotent] == "true", Streaming: m[metaStreaming] == "true",
	}
	switch {
	case !namePattern.MatchString(service), !namePattern.MatchString(e.Name):
		return route{}, errors.New("the names of service and endpoint must be 1 to 64 of [a-z0-9-]")
	case e.Subject != "svc."+service+"."+e.Name:
		return route{}, fmt.Errorf("the subject must be svc.%s.%s", service, e.Name)
	case !verbPattern.MatchString(m[metaMethod]):
		return route{}, errors.New("http.method must be GET, POST, PUT, PATCH or DELETE")
	case len(m[metaPath]) > maxPath || !pathPattern.MatchString(m[metaPath]) || hasDots(m[metaPath]):
		return route{}, errors.New("http.path must be like /v1/orders/{id}")
	case spec.Location != "" && (len(spec.Location) > maxPath || !pathPattern.MatchString(spec.Location) || hasDots(spec.Location)):
		return route{}, errors.New("http.location must be like /v1/orders/{id}")
	case m[metaAuth] == "":
		return route{}, errors.New("http.auth is missing: nobody may call it")
	case !isAccess(spec.Auth):
		return route{}, errors.New("http.auth must be public, user, operator, admin or service")
	case len(spec.Description) > maxDescription || !utf8.ValidString(spec.Description):
		return route{}, fmt.Errorf("the description must be UTF-8 and at most %d bytes", maxDescription)
	}
	spec.Request, spec.Response = jsontext.Value(m[metaRequest]), jsontext.Value(m[metaResponse])
	r, err := newRoute(spec)
	if err != nil {
		return route{}, err
	}
	r.version = version
	return r, nil
}

// hasDots reports whether a path has a segment that clients and servers take out.
func hasDots(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

func isAccess(a endpoint.Access) bool {
	switch a {
	case endpoint.Public, endpoint.SignedIn, endpoint.Operator, endpoint.Admin, endpoint.Internal:
		return true
	default:
		return false
	}
}
