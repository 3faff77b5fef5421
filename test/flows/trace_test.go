package flows_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/notification/notificationapi"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
	"sluice/test/program"
)

// story is what must be the same everywhere.
type story struct{ trace, correlation string }

// TestOneRequestIsOneStory does not run beside others: the tracer provider is the
// process's, and a program that ends would take it from this one.
func TestOneRequestIsOneStory(t *testing.T) { //nolint:paralleltest // see above
	s := start(t, nil)
	admin, err := call(t, s, userapi.Authenticate, userapi.AuthenticateRequest{Login: "admin", Password: program.AdminPassword})
	if err != nil {
		t.Fatal(err)
	}
	for _, given := range []bool{true, false} {
		name := "made here"
		if given {
			name = "given"
		}
		t.Run(name, func(t *testing.T) {
			var u userapi.User
			username, key := fresh("ada"), fresh("key")
			a, told := s.tell(t, given, "/v1/users", userBody(username, username+"@example.com", "correct horse battery"), endpoint.HeaderIdempotencyKey, key)
			a.Into(t, http.StatusCreated, &u)
			created := s.event(t, "USERS", "user.created."+u.ID)
			told = told.check(t, created)
			if want := event.DeriveID("command", admin.ID, key); created.CausationID != want || created.UserID != admin.ID {
				t.Errorf("user.created was caused by %s of %s, not by the command %s of %s", created.CausationID, created.UserID, want, admin.ID)
			}
			s.follows(t, told, created, "user", "svc.user.create", notificationapi.KindWelcome, u.ID)

			var o orderapi.Order
			a, toldOfOrder := s.tell(t, given, "/v1/orders", orderBody(u.ID, oneItem))
			a.Into(t, http.StatusCreated, &o)
			placed := s.event(t, "ORDERS", "order.created."+o.ID)
			toldOfOrder = toldOfOrder.check(t, placed)
			if placed.CausationID == "" || placed.CausationID == placed.CorrelationID {
				t.Errorf("order.created was caused by %q", placed.CausationID)
			}
			s.follows(t, toldOfOrder, placed, "order", "svc.order.create", notificationapi.KindOrderConfirmation, u.ID)
			if told == toldOfOrder {
				t.Error("two requests are one story")
			}
		})
	}
}

// tell makes a request, with ids of its own if they are given.
func (s *system) tell(t *testing.T, given bool, path, body string, header ...string) (program.Answer, story) {
	t.Helper()
	var told story
	if given {
		told = story{strings.ReplaceAll(event.NewID(), "-", ""), fresh("request")}
		header = append(header, "traceparent", "00-"+told.trace+"-00f067aa0ba902b7-01", endpoint.HeaderCorrelationID, told.correlation)
	}
	a := s.Do(t, http.MethodPost, path, body, header...)
	got := a.Header.Get(endpoint.HeaderCorrelationID)
	if given && got != told.correlation || !given && !event.IsUUID(got) {
		t.Errorf("the answer has the correlation id %q", got)
	}
	told.correlation = got
	return a, told
}

var traceParent = regexp.MustCompile(`^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$`)

// check compares an event with the story, whose trace it tells if nobody else did.
func (told story) check(t *testing.T, e event.Event) story {
	t.Helper()
	m := traceParent.FindStringSubmatch(e.TraceParent)
	if m == nil {
		t.Fatalf("%s has the traceparent %q", e.Type, e.TraceParent)
	}
	if told.trace == "" {
		told.trace = m[1]
	}
	if got := (story{m[1], e.CorrelationID}); got != told {
		t.Errorf("%s belongs to %+v, not to %+v", e.Type, got, told)
	}
	return told
}

// event returns the one event on a subject of a history.
func (s *system) event(t *testing.T, stream, subject string) event.Event {
	t.Helper()
	stored := s.on(t, stream, subject)
	if len(stored) != 1 {
		t.Fatalf("%d events on %s", len(stored), subject)
	}
	return decoded(t, stored[0])
}

func decoded(t *testing.T, m *jetstream.RawStreamMsg) event.Event {
	t.Helper()
	e, err := event.Decode(m.Header, m.Data)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// follows checks that the notification that cause led to, its mail and the log lines
// on the way belong to the story.
func (s *system) follows(t *testing.T, told story, cause event.Event, service, subject string, kind notificationapi.Kind, userID string) {
	t.Helper()
	id := event.DeriveID("notification", string(kind), cause.Source, cause.ID)
	program.Until(t, "notification.sent is stored", func() bool { return len(s.on(t, "NOTIFICATIONS", "notification.sent."+id)) == 1 })
	sent := s.event(t, "NOTIFICATIONS", "notification.sent."+id)
	told.check(t, sent)
	if sent.CausationID != cause.ID {
		t.Errorf("notification.sent was caused by %s, not by %s %s", sent.CausationID, cause.Type, cause.ID)
	}
	if mail := s.mailOf(t, id); !strings.Contains(mail, "\nSluice-Correlation-Id: "+told.correlation+"\n") || !strings.Contains(mail, "Message-ID: <"+id+"@sluice>\n") {
		t.Errorf("the mail has other ids:\n%s", mail)
	}
	for _, line := range []map[string]string{
		{"service": "gateway", "msg": "request"},
		{"service": service, "msg": "request answered", "subject": subject},
		{"service": "notification", "msg": "notification sent", "kind": string(kind), "user_id": userID, "notification_id": id, "event_id": cause.ID},
	} {
		line["trace_id"], line["correlation_id"] = told.trace, told.correlation
		program.Until(t, "a log line", func() bool { return len(s.lines(t, line)) > 0 })
		if found := s.lines(t, line); len(found) != 1 {
			t.Errorf("%d log lines with %v", len(found), line)
		}
	}
}
