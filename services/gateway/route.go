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

// route is one method's way in: how its request is put together from HTTP.
type route struct {
	spec       endpoint.Spec
	parameters []string          // of the path
	types      map[string]string // JSON type of each member of the request
}

func newRoute(spec endpoint.Spec) (route, error) {
	_, path := spec.Route()
	r := route{spec: spec, parameters: placeholders(path)}
	var err error
	if r.types, err = memberTypes(spec.Request); err != nil {
		return r, fmt.Errorf("request schema: %w", err)
	}
	for i, p := range r.parameters {
		if _, ok := r.types[p]; !ok || slices.Contains(r.parameters[:i], p) {
			return r, fmt.Errorf("path parameter %q is not one member of the request", p)
		}
	}
	response, err := memberTypes(spec.Response)
	if err != nil {
		return r, fmt.Errorf("response schema: %w", err)
	}
	for _, p := range placeholders(spec.Location) {
		if response[p] != "string" {
			return r, fmt.Errorf("location %q: %q is not a string member of the response", spec.Location, p)
		}
	}
	return r, nil
}

var placeholderPattern = regexp.MustCompile(`\{([^}]+)\}`)

func placeholders(path string) []string {
	var names []string
	for _, m := range placeholderPattern.FindAllStringSubmatch(path, -1) {
		names = append(names, m[1])
	}
	return names
}

func memberTypes(schema jsontext.Value) (map[string]string, error) {
	var object struct {
		Properties map[string]jsontext.Value `json:"properties"`
	}
	if err := json.Unmarshal(schema, &object); err != nil {
		return nil, err
	}
	types := make(map[string]string, len(object.Properties))
	for name, schema := range object.Properties {
		var member struct {
			Type string `json:"type"`
		}
		if schema.Kind() == '{' { // true stands for any value
			if err := json.Unmarshal(schema, &member); err != nil {
				return nil, err
			}
		}
		types[name] = member.Type
	}
	return types, nil
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
			return nil, invalid(clip(name), "is not a parameter of this request")
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

// clip keeps a name that the client chose from filling the answer.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
