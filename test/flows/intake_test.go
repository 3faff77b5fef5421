package flows_test

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/services/notification/notificationapi"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
	"sluice/test/program"
)

// outside is an event that somebody else publishes.
type outside struct{ id, kind, subject, data string }

// structured returns the event as `nats pub` sends it.
func (o outside) structured() []byte {
	return fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/cli","type":%q,"subject":%q,"data":%s}`, o.id, o.kind, o.subject, o.data)
}

// binary returns the event in binary mode, with header names as spell makes them.
func (o outside) binary(spell func(string) string) *nats.Msg {
	m := &nats.Msg{Subject: o.kind, Data: []byte(o.data), Header: make(nats.Header)}
	for name, value := range map[string]string{
		"ce-specversion": "1.0", "ce-id": o.id, "ce-source": "/cli", "ce-type": o.kind, "ce-subject": o.subject, "content-type": "application/json",
	} {
		m.Header[spell(name)] = []string{value}
	}
	return m
}

func userEvent(id string) outside {
	name := fresh("cli")
	return outside{id: fresh("x"), kind: "user.created", subject: id, data: fmt.Sprintf(
		`{"user_id":%q,"username":%q,"email":"%s@example.com","timestamp":"2026-01-02T03:04:05Z"}`, id, name, name)}
}

func orderEvent(id, userID string) outside {
	return outside{id: fresh("x"), kind: "order.created", subject: id, data: fmt.Sprintf(
		`{"order_id":%q,"user_id":%q,"items":%s,"total_amount":{"number":"39.98","currency":"EUR"},"timestamp":"2026-01-02T03:04:05Z"}`, id, userID, oneItem)}
}

func stepEvent(kind, id string) outside {
	return outside{id: fresh("x"), kind: kind, subject: id, data: fmt.Sprintf(`{"order_id":%q,"timestamp":"2026-01-02T03:04:05Z"}`, id)}
}

func TestIntakeJoinsHistoryOnce(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	odd := func(name string) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune("cpit", r) {
				return r - 'a' + 'A'
			}
			return r
		}, name)
	}
	for name, message := range map[string]func(outside) *nats.Msg{
		"structured, without headers": func(o outside) *nats.Msg { return &nats.Msg{Subject: o.kind, Data: o.structured()} },
		"structured, with odd headers": func(o outside) *nats.Msg {
			return &nats.Msg{Subject: o.kind, Data: o.structured(), Header: nats.Header{"CONTENT-type": {"application/cloudevents+json; charset=utf-8"}}}
		},
		"binary":                  func(o outside) *nats.Msg { return o.binary(strings.ToLower) },
		"binary, with odd names":  func(o outside) *nats.Msg { return o.binary(odd) },
		"binary, with upper case": func(o outside) *nats.Msg { return o.binary(strings.ToUpper) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			userID, orderID := event.NewID(), event.NewID()
			user, order := userEvent(userID), orderEvent(orderID, userID)
			s.takeIn(t, user, message(user))
			s.takeIn(t, order, message(order))
			for _, step := range []string{"order.confirmed", "order.shipped", "order.delivered"} {
				e := stepEvent(step, orderID)
				s.takeIn(t, e, message(e))
			}
			var o orderapi.Order
			program.Until(t, "the order is delivered", func() bool {
				s.Get(t, "/v1/orders/"+orderID, &o)
				return o.Status == orderapi.StatusDelivered
			})
			if o.Version != 4 || o.UserID != userID {
				t.Errorf("the order is %+v", o)
			}
			s.notified(t, userID, notificationapi.StatusSent, 2)
		})
	}
}

// takeIn publishes a message twice and checks that history has its event once, as
// the outsider named it. A third message behind the two shows that both were judged.
func (s *system) takeIn(t *testing.T, o outside, m *nats.Msg) {
	t.Helper()
	s.judged(t, m)
	s.judged(t, m)
	stream := map[string]string{"user": "USERS", "order": "ORDERS"}[strings.Split(o.kind, ".")[0]]
	stored := s.on(t, stream, o.kind+"."+o.subject)
	if len(stored) != 1 {
		t.Fatalf("%d events on %s: %v", len(stored), o.kind, s.letters(t))
	}
	e, err := event.Decode(stored[0].Header, stored[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	if e.ID != o.id || e.Source != "/cli" || e.Type != o.kind || e.Subject != o.subject || e.Version == 0 {
		t.Errorf("history has %+v", e)
	}
	var got, sent map[string]any
	if json.Unmarshal(e.Data, &got) != nil || json.Unmarshal([]byte(o.data), &sent) != nil || fmt.Sprint(got) != fmt.Sprint(sent) {
		t.Errorf("data %s became %s", o.data, e.Data)
	}
}

// judged publishes to an intake and waits until the message has left it.
func (s *system) judged(t testing.TB, m *nats.Msg) uint64 {
	t.Helper()
	stream, sequence := s.publish(t, m)
	if !strings.HasSuffix(stream, "_INTAKE") {
		t.Fatalf("stored in %q", stream)
	}
	s.gone(t, stream, sequence)
	return sequence
}

func TestIntakeRefusesWithTheReason(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	u := s.newUser(t)
	o := s.newOrder(t, u.ID)
	id := event.NewID()
	good := orderEvent(id, u.ID)
	with := func(o outside, old, replacement string) []byte {
		return bytes.Replace(o.structured(), []byte(old), []byte(replacement), 1)
	}
	taken := userEvent(event.NewID())
	taken.data = fmt.Sprintf(`{"user_id":%q,"username":%q,"email":%q,"timestamp":"2026-01-02T03:04:05Z"}`, taken.subject, fresh("cli"), strings.ToUpper(u.Email))
	badName := userEvent(event.NewID())
	badName.data = fmt.Sprintf(`{"user_id":%q,"username":" x ","email":"x@example.com","timestamp":"2026-01-02T03:04:05Z"}`, badName.subject)
	stranger := orderEvent(event.NewID(), event.NewID())
	cases := []struct {
		name, subject string
		body          []byte
		says          string
	}{
		{"bad JSON", "order.created", []byte(`{"specversion":"1.0",`), "not a CloudEvent"},
		{"not JSON", "order.created", []byte("hello"), "not a CloudEvent"},
		{"nothing", "user.created", nil, "not a CloudEvent"},
		{"JSON that is no event", "user.created", []byte(`{"username":"ada"}`), "specversion"},
		{"unknown type", "order.refunded", stepEvent("order.refunded", o.ID).structured(), "not taken in"},
		{"a lifecycle type", "user.erased", stepEvent("user.erased", u.ID).structured(), "not taken in"},
		{"the type is another than the subject", "order.created", stepEvent("order.confirmed", o.ID).structured(), "another subject"},
		{"no subject attribute", "order.created", with(good, `"subject":"`+id+`",`, ""), "subject"},
		{"the subject is no UUID", "order.created", with(good, `"subject":"`+id+`"`, `"subject":"o-1"`), "UUID"},
		{"the subject is in upper case", "order.created", with(good, `"subject":"`+id+`"`, `"subject":"`+strings.ToUpper(id)+`"`), "UUID"},
		{"no id", "order.created", with(good, `"id":"`+good.id+`",`, ""), "id"},
		{"no data", "order.created", with(good, `,"data":`+good.data, ""), "data"},
		{"the data does not fit", "order.created", with(good, `"quantity":2`, `"quantity":"two"`), "does not fit"},
		{"unknown member in the data", "order.created", with(good, `"user_id"`, `"coupon":"x","user_id"`), "unknown"},
		{"wrong total", "order.created", with(good, `39.98`, `0.01`), "total_amount"},
		{"no items", "order.created", with(good, oneItem, `[]`), "items"},
		{"zero quantity", "order.created", with(good, `"quantity":2`, `"quantity":0`), "quantity"},
		{"absurd quantity", "order.created", bytes.Replace(with(good, `"quantity":2`, `"quantity":9000000000000000000`), []byte(`39.98`), []byte(`179910000000000000000`), 1), "quantity"},
		{"price that is none", "order.created", bytes.ReplaceAll(bytes.ReplaceAll(good.structured(), []byte("19.99"), []byte("NaN")), []byte("39.98"), []byte("NaN")), "price"},
		{"endless price", "order.created", bytes.ReplaceAll(bytes.ReplaceAll(good.structured(), []byte("19.99"), []byte("Infinity")), []byte("39.98"), []byte("Infinity")), "price"},
		{"price with a huge exponent", "order.created", bytes.ReplaceAll(bytes.ReplaceAll(good.structured(), []byte("19.99"), []byte("1e100000")), []byte("39.98"), []byte("2e100000")), "price"},
		{"long product", "order.created", with(good, `"p-1"`, `"`+strings.Repeat("p", 129)+`"`), "product_id"},
		{"data of another order", "order.created", with(good, `"order_id":"`+id, `"order_id":"`+event.NewID()), "another aggregate"},
		{"newer schema", "order.created", with(good, `"type"`, `"dataschema":"sluice:/schemas/order.created/v2","type"`), "newer"},
		{"unknown user", "order.created", stranger.structured(), "User not found"},
		{"taken e-mail", "user.created", taken.structured(), "email is already taken"},
		{"bad username", "user.created", badName.structured(), "username"},
		{"illegal transition", "order.delivered", stepEvent("order.delivered", o.ID).structured(), "pending cannot become delivered"},
		{"a step of no order", "order.confirmed", stepEvent("order.confirmed", event.NewID()).structured(), "Order not found"},
		{"an order that exists", "order.created", orderEvent(o.ID, u.ID).structured(), "exists already"},
		{"a user that exists", "user.created", userEvent(u.ID).structured(), "exists already"},
	}
	t.Run("cases", func(t *testing.T) {
		for _, x := range cases {
			t.Run(x.name, func(t *testing.T) {
				t.Parallel()
				header := nats.Header{"X-Note": {"of the outsider"}, "Nats-Expected-Stream": {strings.ToUpper(strings.Split(x.subject, ".")[0]) + "S_INTAKE"}}
				sequence := s.judged(t, &nats.Msg{Subject: x.subject, Header: maps.Clone(header), Data: x.body})
				consumer := strings.Split(x.subject, ".")[0] + "-intake"
				letters := s.lettersOf(t, consumer, sequence)
				if len(letters) != 1 {
					t.Fatalf("%d dead letters", len(letters))
				}
				l := letters[0]
				if l.Reason != bus.ReasonDropped || l.Attempts != 1 || l.Subject != x.subject || l.FirstAt.IsZero() || time.Since(l.LastAt) > time.Hour {
					t.Errorf("the dead letter is %+v", l)
				}
				if !strings.Contains(l.Error, x.says) {
					t.Errorf("the reason is %q, not about %q", l.Error, x.says)
				}
				if !bytes.Equal(l.Data, x.body) || fmt.Sprint(l.Header) != fmt.Sprint(header) {
					t.Errorf("the original is %v %q", l.Header, l.Data)
				}
				if strings.Contains(l.Error, u.Email) || strings.Contains(strings.ToUpper(l.Error), strings.ToUpper(u.Email)) {
					t.Errorf("the reason tells an address: %s", l.Error)
				}
			})
		}
	})
	s.Do(t, http.MethodGet, "/v1/orders/"+id, nil).Problem(t, http.StatusNotFound, "not_found")
	var now orderapi.Order
	s.Get(t, "/v1/orders/"+o.ID, &now)
	var user userapi.User
	s.Get(t, "/v1/users/"+u.ID, &user)
	if now.Version != 1 || !reflect.DeepEqual(user, u) {
		t.Errorf("something changed: %+v %+v", now, user)
	}
}
