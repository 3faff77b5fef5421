package observability_test

import (
	"slices"
	"testing"

	"sluice/pkg/telemetry/telemetrytest"
)

// checkTrace follows one request from HTTP to the dead letter of the last reaction.
func checkTrace(t *testing.T, s story) {
	t.Helper()
	one := func(name, kind string, attributes ...string) telemetrytest.Span {
		t.Helper()
		found := slices.DeleteFunc(of(s.received, s.trace, name), func(span telemetrytest.Span) bool { return span.Kind != "SPAN_KIND_"+kind })
		if len(found) != 1 {
			t.Fatalf("the trace has %d spans %s %s: %+v", len(found), kind, name, found)
		}
		for pair := range slices.Chunk(attributes, 2) {
			if got := found[0].Attributes[pair[0]]; got != pair[1] {
				t.Errorf("%s has %s %q, not %q", name, pair[0], got, pair[1])
			}
		}
		return found[0]
	}
	request := one("POST /v1/users", "SERVER", "http.request.method", "POST", "http.route", "/v1/users",
		"http.response.status_code", "201", "url.scheme", "http")
	call := one("svc.user.create", "CLIENT", "rpc.system.name", "nats", "rpc.method", "svc.user.create", "sluice.service", "user")
	served := one("svc.user.create", "SERVER", "rpc.system.name", "nats", "rpc.method", "svc.user.create")
	sent := one("send user.created", "PRODUCER", "messaging.system", "nats", "messaging.destination.name", "USERS",
		"messaging.operation.type", "send", "messaging.destination.template", "user.created")
	stored := one("commit users", "CONSUMER", "sluice.projection.name", "users", "messaging.batch.message_count", "1")
	dead := one("settle notification-users", "CONSUMER", "sluice.deadletter.reason", "attempts", "sluice.handler.attempts", "3")

	attempts := slices.DeleteFunc(of(s.received, s.trace, "process user.created"), func(span telemetrytest.Span) bool {
		return span.Attributes["messaging.consumer.group.name"] != "notification-users"
	})
	if len(attempts) != 3 {
		t.Fatalf("there are %d attempts: %+v", len(attempts), attempts)
	}
	for _, a := range attempts {
		if a.Attributes["error.type"] != "retry" || !a.Failed || a.Resource["service.name"] != "notification" {
			t.Errorf("an attempt is %+v", a)
		}
	}
	for _, below := range []struct{ child, parent telemetrytest.Span }{
		{call, request}, {served, call}, {sent, served}, {stored, sent}, {attempts[0], sent}, {attempts[2], sent},
	} {
		if below.child.Parent != below.parent.ID {
			t.Errorf("%s is not below %s", below.child.Name, below.parent.Name)
		}
	}
	if dead.Parent == "" || !slices.Equal(attempts[0].Links, []string{sent.ID}) || !slices.Equal(stored.Links, []string{sent.ID}) {
		t.Errorf("%+v, %+v and %+v are not linked to %s", dead, attempts[0], stored, sent.ID)
	}
	for name, span := range map[string]telemetrytest.Span{"gateway": request, "user": served} {
		if span.Resource["service.name"] != name || span.Failed {
			t.Errorf("%s is of %v, and failed: %v", span.Name, span.Resource, span.Failed)
		}
	}
	checkFailures(t, s)
}

// checkFailures: what a client does wrong is told, and is no fault of the service.
func checkFailures(t *testing.T, s story) {
	t.Helper()
	for _, want := range []struct{ name, kind, key, value string }{
		{"GET /v1/orders/{id}", "SERVER", "http.response.status_code", "404"},
		{"svc.order.get", "SERVER", "error.type", "not_found"},
		{"svc.order.get", "CLIENT", "error.type", "not_found"},
		{"GET", "SERVER", "http.response.status_code", "404"}, // of no route
		{"sluice.user.v1.UserService/Get", "SERVER", "rpc.response.status_code", "OK"},
		{"GET /v1/events", "SERVER", "http.response.status_code", "200"},
	} {
		found := slices.DeleteFunc(s.received.Named(want.name), func(span telemetrytest.Span) bool {
			return span.Kind != "SPAN_KIND_"+want.kind || span.Attributes[want.key] != want.value
		})
		if len(found) == 0 {
			t.Errorf("no span %+v", want)
		}
		for _, span := range found {
			if span.Failed {
				t.Errorf("%+v failed: %s", want, span.Status)
			}
		}
	}
}
