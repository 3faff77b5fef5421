package access_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats.go"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/order/orderapi"
	"sluice/test/program"
)

// claimsOf reads a token without a look at its signature.
func claimsOf(t testing.TB, token string) jwt.MapClaims {
	t.Helper()
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func subjectOf(t testing.TB, token string) string {
	t.Helper()
	subject, err := claimsOf(t, token).GetSubject()
	if err != nil {
		t.Fatal(err)
	}
	return subject
}

// TestWhoAsksTheUserService looks at the wire: within a request it is who asked for the
// order, with their very token; when an order comes in from outside it is the order
// service itself; and for nobody, nobody.
func TestWhoAsksTheUserService(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	p := s.newcomer(t)
	calls, err := s.NC.SubscribeSync("svc.user.get")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	next := func() *nats.Msg {
		m, err := calls.NextMsg(program.Patience)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if a := s.do(t, http.MethodPost, "/v1/orders", p.session.AccessToken, orderBody(p.ID)); a.Status != http.StatusCreated {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if got := next().Header.Get(endpoint.HeaderAuthorization); got != "Bearer "+p.session.AccessToken {
		t.Error("in a request the order service does not ask as who asked")
	}

	o := event.NewID()
	intake := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/test","type":"order.created","subject":%q,"datacontenttype":"application/json",
		"data":{"order_id":%q,"user_id":%q,"items":[{"product_id":"p","quantity":1,"price":{"number":"1.00","currency":"EUR"}}],
		"total_amount":{"number":"1.00","currency":"EUR"},"timestamp":%q}}`, event.NewID(), o, o, p.ID, time.Now().UTC().Format(time.RFC3339Nano))
	if _, err := s.JS.PublishMsg(t.Context(), &nats.Msg{
		Subject: "order.created", Data: []byte(intake), Header: nats.Header{"content-type": {"application/cloudevents+json"}},
	}); err != nil {
		t.Fatal(err)
	}
	m := next()
	token, err := endpoint.BearerToken(m.Header.Get(endpoint.HeaderAuthorization))
	if err != nil {
		t.Fatal(err)
	}
	if issuer, err := claimsOf(t, token).GetIssuer(); err != nil || issuer != "order" || subjectOf(t, token) != "" {
		t.Errorf("taking in an order, %s asks for %q, %v", issuer, subjectOf(t, token), err)
	}
	program.Until(t, "the order is taken in", func() bool {
		_, err := s.ask(t, "svc.order.get", p.session.AccessToken, fmt.Sprintf(`{"id":%q}`, o))
		return err == nil
	})
	if got := must[orderapi.Order](t, s, "svc.order.get", p.session.AccessToken, fmt.Sprintf(`{"id":%q}`, o)); got.UserID != p.ID {
		t.Errorf("it is %+v", got)
	}

	// The gateway asks as nobody for nobody: a request without a token is not its own.
	if a := s.do(t, http.MethodGet, "/v1/users/"+p.ID, "", ""); a.Status != http.StatusUnauthorized {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if m, err := calls.NextMsg(100 * time.Millisecond); err == nil && m.Header.Get(endpoint.HeaderAuthorization) != "" {
		t.Error("the gateway asks for nobody with a token")
	}
}

// TestEventsFromOutside over HTTP are for operators. Who publishes over NATS is for
// NATS to say.
func TestEventsFromOutside(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	p, operator := s.newcomer(t), s.withRole(t, "operator")
	body := func() string {
		id := event.NewID()
		return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/test","type":"user.created","subject":%q,"datacontenttype":"application/json",
			"data":{"user_id":%q,"username":"n%s","email":"n%s@example.com","timestamp":"2026-01-02T03:04:05Z"}}`, event.NewID(), id, id, id, id)
	}
	for _, c := range []struct {
		who, token string
		status     int
	}{
		{"nobody", "", http.StatusUnauthorized},
		{"a customer", p.session.AccessToken, http.StatusForbidden},
		{"an operator", operator.session.AccessToken, http.StatusAccepted},
		{"an admin", s.admin(t).AccessToken, http.StatusAccepted},
		{"a tampered token", tampered(operator.session.AccessToken), http.StatusUnauthorized},
	} {
		if a := s.do(t, http.MethodPost, "/v1/events", c.token, body(), "Content-Type", "application/cloudevents+json"); a.Status != c.status {
			t.Errorf("%s: %d %s", c.who, a.Status, a.Body)
		}
	}
}
