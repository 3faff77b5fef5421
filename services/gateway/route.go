package gateway

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/pkg/endpoint"
)

// route is one method's way in: how its request is put together from HTTP, and what
// HTTP makes of its response.
type route struct {
	spec       endpoint.Spec
	pattern    pattern
	version    string            // of the service that says so
	parameters []string          // of the path
	types      map[string]string // JSON type of each member of the request
	versioned  bool              // the response has a version
}

func newRoute(spec endpoint.Spec) (route, error) {
	_, path := spec.Route()
	r := route{spec: spec, pattern: newPattern(spec.HTTP), parameters: placeholders(path)}
	request, err := parseSchema(spec.Request)
	if err != nil {
		return r, fmt.Errorf("the request schema %w", err)
	}
	response, err := parseSchema(spec.Response)
	if err != nil {
		return r, fmt.Errorf("the response schema %w", err)
	}
	r.types = make(map[string]string, len(request.Properties))
	for name, member := range request.Properties {
		r.types[name] = member.Type
	}
	for i, p := range r.parameters {
		if !isScalar(r.types[p]) || slices.Contains(r.parameters[:i], p) {
			return r, fmt.Errorf("path parameter %q is not one string, number or boolean of the request", p)
		}
	}
	for _, p := range placeholders(spec.Location) {
		if member := response.Properties[p]; member == nil || member.Type != "string" {
			return r, fmt.Errorf("location %q: %q is not a string of the response", spec.Location, p)
		}
	}
	version := response.Properties["version"]
	r.versioned = version != nil && version.Type == "integer"
	return r, nil
}

// isScalar reports whether a member of that type can be a parameter.
func isScalar(kind string) bool {
	switch kind {
	case "string", "integer", "number", "boolean":
		return true
	default:
		return false
	}
}

var placeholderPattern = regexp.MustCompile(`\{([^}]+)\}`)

func placeholders(path string) []string {
	var names []string
	for _, m := range placeholderPattern.FindAllStringSubmatch(path, -1) {
		names = append(names, m[1])
	}
	return names
}

// request puts path, query and body together into the one object that the endpoint
// takes. Parameters are written before the members of the body, untouched, so that
// the endpoint's strict decoder finds a member that is there twice.
func (r route) request(req *http.Request, body []byte) ([]byte, error) {
	parameters, err := r.bind(req)
	if err != nil {
		return nil, err
	}
	body = bytes.Trim(body, " \t\r\n")
	if len(parameters) == 0 {
		return body, nil
	}
	out := append([]byte{'{'}, parameters...)
	if len(body) == 0 {
		return append(out, '}'), nil
	}
	if body[0] != '{' {
		return nil, endpoint.Invalid("the request is not a JSON object")
	}
	rest := bytes.TrimLeft(body[1:], " \t\r\n")
	if len(rest) == 0 || rest[0] != '}' {
		out = append(out, ',')
	}
	return append(out, rest...), nil
}

// bind returns the members that path and query set, as JSON without the braces.
func (r route) bind(req *http.Request) ([]byte, error) {
	var out []byte
	add := func(name, text string) error {
		value, err := r.value(name, text)
		if err != nil {
			return err
		}
		if len(out) > 0 {
			out = append(out, ',')
		}
		out = append(append(append(append(out, '"'), name...), '"', ':'), value...)
		return nil
	}
	for _, name := range r.parameters {
		if err := add(name, req.PathValue(name)); err != nil {
			return nil, err
		}
	}
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return nil, endpoint.Invalid("the query can't be read")
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		values := query[name]
		if _, ok := r.types[name]; !ok {
			return nil, invalid(clip(name, maxName), "is not a parameter of this request")
		}
		if len(values) > 1 || slices.Contains(r.parameters, name) {
			return nil, invalid(name, "is there twice")
		}
		if err := add(name, values[0]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

var (
	integerPattern = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,18})$`)
	numberPattern  = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?$`)
)

// value writes the text of a parameter as the JSON type of its member.
func (r route) value(name, text string) (jsontext.Value, error) {
	switch r.types[name] {
	case "string":
		if !utf8.ValidString(text) {
			return nil, invalid(name, "is not UTF-8")
		}
		return jsontext.AppendQuote(nil, text)
	case "integer":
		if integerPattern.MatchString(text) {
			return jsontext.Value(text), nil
		}
		return nil, invalid(name, "must be an integer")
	case "number":
		if numberPattern.MatchString(text) {
			return jsontext.Value(text), nil
		}
		return nil, invalid(name, "must be a number")
	case "boolean":
		if text == "true" || text == "false" {
			return jsontext.Value(text), nil
		}
		return nil, invalid(name, "must be true or false")
	default:
		return nil, invalid(name, "can't be a parameter, only a member of the body")
	}
}

// location fills the method's Location from the response.
func (r route) location(response []byte) (string, error) {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(response, &members); err != nil {
		return "", fmt.Errorf("location: %w", err)
	}
	location := r.spec.Location
	for _, name := range placeholders(location) {
		var text string
		if err := json.Unmarshal(members[name], &text); err != nil || text == "" {
			return "", fmt.Errorf("location: the response has no %s", name)
		}
		location = strings.ReplaceAll(location, "{"+name+"}", url.PathEscape(text))
	}
	return location, nil
}

// clip keeps a text that a stranger chose from filling an answer or the log.
func clip(s string, most int) string {
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
