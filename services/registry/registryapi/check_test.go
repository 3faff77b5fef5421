package registryapi_test

import (
	"strings"
	"testing"

	"sluice/pkg/endpoint"
	"sluice/services/registry/registryapi"
)

func TestRequestsAreJudged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bend func(r *registryapi.RegisterRequest)
		want string // fields, comma separated
	}{
		"as it is":             {func(*registryapi.RegisterRequest) {}, ""},
		"IPv6":                 {func(r *registryapi.RegisterRequest) { r.Host = "2001:db8::1" }, ""},
		"a name with a query":  {func(r *registryapi.RegisterRequest) { r.HealthEndpoint = "/h?deep=1" }, ""},
		"HTTPS":                {func(r *registryapi.RegisterRequest) { r.Check = &registryapi.Check{Scheme: "https"} }, ""},
		"another scheme":       {func(r *registryapi.RegisterRequest) { r.Check = &registryapi.Check{Scheme: "file"} }, "check.scheme"},
		"an empty check":       {func(r *registryapi.RegisterRequest) { r.Check = &registryapi.Check{} }, ""},
		"a short interval":     {func(r *registryapi.RegisterRequest) { r.Check = &registryapi.Check{Interval: "1s"} }, ""},
		"capitals":             {func(r *registryapi.RegisterRequest) { r.Name = "Pay" }, "name"},
		"two tokens":           {func(r *registryapi.RegisterRequest) { r.Name, r.ID = "a.b", "a.b" }, "name,id"},
		"a host with a port":   {func(r *registryapi.RegisterRequest) { r.Host = "pay:80" }, "host"},
		"a URL for a host":     {func(r *registryapi.RegisterRequest) { r.Host = "http://pay" }, "host"},
		"somebody in the host": {func(r *registryapi.RegisterRequest) { r.Host = "a@b" }, "host"},
		"a URL for a path":     {func(r *registryapi.RegisterRequest) { r.HealthEndpoint = "http://x/" }, "health_endpoint"},
		"another host":         {func(r *registryapi.RegisterRequest) { r.HealthEndpoint = "//x/" }, "health_endpoint"},
		"no path":              {func(r *registryapi.RegisterRequest) { r.HealthEndpoint = "health" }, "health_endpoint"},
		"a line break":         {func(r *registryapi.RegisterRequest) { r.HealthEndpoint = "/a\r\nHost: x" }, "health_endpoint"},
		"a fragment":           {func(r *registryapi.RegisterRequest) { r.HealthEndpoint = "/a#b" }, "health_endpoint"},
		"no version":           {func(r *registryapi.RegisterRequest) { r.Version = "a b" }, "version"},
		"no durations": {func(r *registryapi.RegisterRequest) {
			r.Check = &registryapi.Check{Interval: "10", Timeout: "soon"}
		}, "check.interval,check.timeout"},
		"out of bounds": {func(r *registryapi.RegisterRequest) {
			r.Check = &registryapi.Check{Interval: "99ms", Timeout: "2m", Retries: 101}
		}, "check.interval,check.timeout,check.retries"},
		"a timeout beyond the interval": {func(r *registryapi.RegisterRequest) {
			r.Check = &registryapi.Check{Interval: "1s", Timeout: "2s", Retries: -1}
		}, "check.timeout,check.retries"},
	} {
		r := registryapi.RegisterRequest{Name: "pay", Version: "1.0.0", Host: "pay-1.internal", Port: 80, HealthEndpoint: "/health"}
		c.bend(&r)
		if got := fields(r.Validate()); got != c.want {
			t.Errorf("%s: wrong are %q, not %q", name, got, c.want)
		}
	}
}

func fields(wrong []endpoint.FieldError) string {
	names := make([]string, len(wrong))
	for i, w := range wrong {
		names[i] = w.Field
	}
	return strings.Join(names, ",")
}

func TestDefaultsAreWrittenOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ given, want registryapi.Check }{
		{registryapi.Check{}, registryapi.Check{Interval: "10s", Timeout: "2s", Retries: 3}},
		{registryapi.Check{Interval: "1s"}, registryapi.Check{Interval: "1s", Timeout: "1s", Retries: 3}},
		{registryapi.Check{Interval: "90s", Timeout: "1500ms", Retries: 7}, registryapi.Check{Interval: "1m30s", Timeout: "1.5s", Retries: 7}},
	} {
		if got := c.given.Normal(); got != c.want || got.Normal() != got {
			t.Errorf("%+v becomes %+v, not %+v", c.given, got, c.want)
		}
	}
}
