package permissions_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/natstest"
	"sluice/streams"
	"sluice/test/program"
)

// work has the system do everything that its services are for.
type work struct {
	secured
	program.Client // of the user admin
}

type identified struct {
	ID string `json:"id"`
}

// all returns a user who is left.
func (w work) all(t *testing.T) string {
	t.Helper()
	gone := w.signUp(t)
	w.Do(t, http.MethodDelete, "/v1/users/"+gone.ID, nil).Want(t, http.StatusOK)
	w.forgotten(t, "notification-users", gone.ID)
	user := w.signUp(t)
	order := w.order(t, user.ID)
	for _, path := range []string{
		"/v1/orders/" + order.ID + "/history", "/v1/users/" + user.ID + "/orders", "/v1/orders", "/v1/orders/export", "/v1/notifications",
		"/v1/services", "/v1/dead-letters", "/v1/alerts", "/v1/users", "/v1/orders/" + order.ID + "?version=1",
	} {
		w.Do(t, http.MethodGet, path, nil).Want(t, http.StatusOK)
	}
	w.alerted(t)
	for _, stream := range []string{"USERS", "ORDERS", "NOTIFICATIONS", "SERVICES", "ALERTS"} {
		w.follow(t, stream)
	}
	buyer := w.takeIn(t)
	w.guarded(t)
	w.deadLetters(t)
	w.registered(t)
	w.rebuilt(t)
	w.mailed(t, order)
	w.readRebuilt(t, user, order)
	w.Do(t, http.MethodDelete, "/v1/users/"+user.ID, nil).Want(t, http.StatusOK)
	w.forgotten(t, "notification-users-g1", user.ID)
	for service, model := range map[string]string{"user": "users", "notification": "notification-users"} {
		program.Until(t, "the user is erased from what was rebuilt of "+model, func() bool {
			return w.trace.has(service, "$JS.API.STREAM.MSG.DELETE.KV_"+model+"-g1")
		})
	}
	w.lost(t)
	return buyer
}

// signUp makes a user who logs in, wrongly first, and changes this and that.
func (w work) signUp(t *testing.T) identified {
	t.Helper()
	const password = "correct horse battery"
	var user identified
	name := "u" + uuid.NewString()[:8]
	w.Do(t, http.MethodPost, "/v1/users", map[string]string{"username": name, "email": name + "@example.com", "password": password}).
		Into(t, http.StatusCreated, &user)
	w.As("").Do(t, http.MethodPost, "/v1/sessions", map[string]string{"login": name, "password": "wrong horse"}).Want(t, http.StatusUnauthorized)
	var session struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	w.As("").Do(t, http.MethodPost, "/v1/sessions", map[string]string{"login": name, "password": password}).Into(t, http.StatusCreated, &session)
	w.As("").Do(t, http.MethodPost, "/v1/sessions", map[string]string{"refresh_token": session.Refresh}).Into(t, http.StatusCreated, &session)
	mine := w.As(session.Access)
	mine.Do(t, http.MethodPut, "/v1/users/"+user.ID+"/password", map[string]string{"current": password, "new": password + "!"}).Want(t, http.StatusOK)
	w.Do(t, http.MethodPut, "/v1/users/"+user.ID+"/roles", map[string]any{"roles": []string{"operator"}}).Want(t, http.StatusOK)
	return user
}

func (w work) order(t *testing.T, user string) identified {
	t.Helper()
	var order identified
	item := map[string]any{"product_id": "p-1", "quantity": 2, "price": map[string]string{"number": "19.99", "currency": "EUR"}}
	w.Eventually(t, http.StatusCreated, http.MethodPost, "/v1/orders", map[string]any{"user_id": user, "items": []any{item}}).
		Into(t, http.StatusCreated, &order)
	w.Do(t, http.MethodPost, "/v1/orders/"+order.ID+"/confirm", nil).Want(t, http.StatusOK)
	return order
}

// mailed waits until the user knows of the order.
func (w work) mailed(t *testing.T, order identified) {
	t.Helper()
	program.Until(t, "mail about an order", func() bool {
		return strings.Contains(w.Do(t, http.MethodGet, "/v1/notifications", nil).Body, order.ID)
	})
}

// readRebuilt reads every read model until what comes is what was rebuilt: a process
// changes over to it a little later than the bucket says.
func (w work) readRebuilt(t *testing.T, user, order identified) {
	t.Helper()
	for _, read := range []struct{ service, model, path string }{
		{"user", "users", "/v1/users/" + user.ID},
		{"order", "orders", "/v1/orders/" + order.ID},
		{"notification", "notifications", "/v1/notifications"},
		{"registry", "services", "/v1/services"},
		{"registry", "alerts", "/v1/alerts"},
	} {
		program.Until(t, "the rebuilt model "+read.model+" is read", func() bool {
			w.Do(t, http.MethodGet, read.path, nil).Want(t, http.StatusOK)
			return w.trace.has(read.service, "$JS.API.DIRECT.GET.KV_"+read.model+"-g1.")
		})
	}
}

// follow reads the first live event of a history from its beginning.
func (w work) follow(t *testing.T, stream string) {
	t.Helper()
	entity := strings.ToLower(strings.TrimSuffix(stream, "S"))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.URL+"/v1/events?subject="+entity+".*.*&last_event_id="+stream+"=0", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got strings.Builder
	for buffer := make([]byte, 1024); !strings.Contains(got.String(), `"type":"`+entity+"."); {
		n, err := res.Body.Read(buffer)
		if err != nil {
			t.Fatalf("live events of %s: %v after %q", stream, err, got.String())
		}
		got.Write(buffer[:n])
	}
}

// guarded puts what no service wrote into every history, and waits until it is gone.
func (w work) guarded(t *testing.T) {
	t.Helper()
	js := natstest.JetStream(t, w.connect(t, "admin"))
	for entity, stream := range map[string]string{"user": "USERS", "order": "ORDERS", "notification": "NOTIFICATIONS", "service": "SERVICES", "alert": "ALERTS"} {
		ack, err := js.Publish(t.Context(), entity+".created."+event.NewID(), []byte("litter"))
		if err != nil {
			t.Fatal(err)
		}
		history, err := js.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		program.Until(t, "the guard of "+stream+" deletes litter", func() bool {
			_, err := history.GetMsg(t.Context(), ack.Sequence)
			return errors.Is(err, jetstream.ErrMsgNotFound)
		})
	}
}

// lost removes every consumer of a group, which the group then makes again.
func (w work) lost(t *testing.T) {
	t.Helper()
	js := natstest.JetStream(t, w.connect(t, "admin"))
	set, err := streams.Load(services...)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range set.Consumers {
		if err := js.DeleteConsumer(t.Context(), c.Stream, c.Config.Durable); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range set.Consumers {
		program.Until(t, c.Config.Durable+" is there again", func() bool {
			_, err := js.Consumer(t.Context(), c.Stream, c.Config.Durable)
			return err == nil
		})
	}
}

// takeIn publishes a user and an order from outside, over HTTP and over NATS, and returns
// the user.
func (w work) takeIn(t *testing.T) string {
	t.Helper()
	user, order := event.NewID(), event.NewID()
	created := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/test","type":"user.created","subject":%q,
		"data":{"user_id":%q,"username":"n%[2]s","email":"n%[2]s@example.com","timestamp":"2026-01-02T03:04:05Z"}}`, event.NewID(), user, user)
	w.Do(t, http.MethodPost, "/v1/events", created, "Content-Type", "application/cloudevents+json").Want(t, http.StatusAccepted)
	w.Eventually(t, http.StatusOK, http.MethodGet, "/v1/users/"+user, nil)
	ordered := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/test","type":"order.created","subject":%q,
		"data":{"order_id":%q,"user_id":%q,"items":[{"product_id":"p","quantity":1,"price":{"number":"1.00","currency":"EUR"}}],
		"total_amount":{"number":"1.00","currency":"EUR"},"timestamp":"2026-01-02T03:04:05Z"}}`, event.NewID(), order, order, user)
	outsider := w.connect(t, "outsider")
	if err := outsider.Publish("order.created", []byte(ordered)); err != nil {
		t.Fatal(err)
	}
	w.Do(t, http.MethodPost, "/v1/events", strings.ReplaceAll(ordered, order, event.NewID()), "Content-Type", "application/cloudevents+json").Want(t, http.StatusAccepted)
	w.Eventually(t, http.StatusOK, http.MethodGet, "/v1/orders/"+order, nil)
	return user
}

// deadLetters redrives what each intake gives up, in vain, and discards it.
func (w work) deadLetters(t *testing.T) {
	t.Helper()
	outsider := w.connect(t, "outsider")
	for subject, consumer := range map[string]string{"user.created": "user-intake", "order.created": "order-intake"} {
		if err := outsider.Publish(subject, []byte("not an event")); err != nil {
			t.Fatal(err)
		}
		var page struct {
			Items []struct {
				ID       string `json:"id"`
				Redrives int    `json:"redrives"`
			} `json:"items"`
		}
		list := func(redrives int) func() bool {
			return func() bool {
				w.Get(t, "/v1/dead-letters?consumer="+consumer, &page)
				return len(page.Items) == 1 && page.Items[0].Redrives == redrives
			}
		}
		program.Until(t, "a dead letter of "+consumer, list(0))
		w.Do(t, http.MethodPost, "/v1/dead-letters/"+page.Items[0].ID+"/redrive", nil).Want(t, http.StatusOK)
		program.Until(t, "the redriven letter of "+consumer, list(1))
		w.Do(t, http.MethodDelete, "/v1/dead-letters/"+page.Items[0].ID, nil).Want(t, http.StatusOK)
	}
}

// alerted waits until a dead letter is an alert, and discards it.
func (w work) alerted(t *testing.T) {
	t.Helper()
	if err := w.connect(t, "outsider").Publish("user.created", []byte("not an event")); err != nil {
		t.Fatal(err)
	}
	var page struct {
		Items []identified `json:"items"`
	}
	raised := func(n int) func() bool {
		return func() bool {
			page.Items = nil
			w.Get(t, "/v1/alerts", &page)
			return len(page.Items) == n
		}
	}
	program.Until(t, "it is raised", raised(1))
	w.Get(t, "/v1/dead-letters?consumer=user-intake", &page)
	w.Do(t, http.MethodDelete, "/v1/dead-letters/"+page.Items[0].ID, nil).Want(t, http.StatusOK)
	program.Until(t, "it is over", raised(0))
}

// registered registers a service that does not run on NATS, and has it checked so often
// that its history is long.
func (w work) registered(t *testing.T) {
	t.Helper()
	shop := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(shop.Close)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(shop.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	name := "shop-" + uuid.NewString()[:8]
	body := fmt.Sprintf(`{"name":%q,"id":"one","version":"2.1.0","host":"127.0.0.1","port":%s,"health_endpoint":"/"}`, name, port)
	const snapshotted = 24 // events, each of which is a register or a deregister
	for range snapshotted/2 + 1 {
		w.Do(t, http.MethodPost, "/v1/services", body).Want(t, http.StatusCreated)
		w.Do(t, http.MethodDelete, "/v1/services/"+name, nil).Want(t, http.StatusOK)
	}
	w.Do(t, http.MethodPost, "/v1/services", body).Want(t, http.StatusCreated)
	w.Do(t, http.MethodPost, "/v1/services/"+name+"/health-check", nil).Want(t, http.StatusOK)
}

// rebuilt builds every read model that lies in a bucket anew.
func (w work) rebuilt(t *testing.T) {
	t.Helper()
	nc := w.connect(t, "admin")
	js := natstest.JetStream(t, nc)
	for service, models := range map[string][]string{
		"user": {"users"}, "order": {"orders", "order-users"}, "notification": {"notifications", "notification-users"}, "registry": {"services", "alerts"},
	} {
		for _, model := range models {
			ask := nats.NewMsg("svc." + service + ".projection-rebuild")
			ask.Data = fmt.Appendf(nil, `{"name":%q}`, model)
			ask.Header[endpoint.HeaderAuthorization] = []string{"Bearer " + w.Token}
			got, err := nc.RequestMsg(ask, program.Patience)
			if err != nil || got.Header.Get(micro.ErrorCodeHeader) != "" {
				t.Fatalf("rebuild %s: %v %+v", model, err, got)
			}
			kv, err := js.KeyValue(t.Context(), model)
			if err != nil {
				t.Fatal(err)
			}
			program.Until(t, model+" is rebuilt", func() bool {
				home, err := kv.Get(t.Context(), "generation.1")
				return err == nil && strings.Contains(string(home.Value()), `"serving":1`)
			})
		}
	}
}

// forgotten waits until everybody has forgotten an erased user, the replicas last.
func (w work) forgotten(t *testing.T, replica, user string) {
	t.Helper()
	js := natstest.JetStream(t, w.connect(t, "admin"))
	kv, err := js.KeyValue(t.Context(), replica)
	if err != nil {
		t.Fatal(err)
	}
	program.Until(t, "the user is forgotten", func() bool {
		known, err := kv.Get(t.Context(), user)
		return errors.Is(err, jetstream.ErrKeyNotFound) || err == nil && !strings.Contains(string(known.Value()), "example.com")
	})
	program.Until(t, "reactions are done", func() bool {
		c, err := js.Consumer(t.Context(), "USERS", "notification-users")
		return err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
	})
}
