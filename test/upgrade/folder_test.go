//go:build upgrade

package upgrade_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"sluice/pkg/bus"
	"sluice/pkg/natstest"
	"sluice/test/program"
)

// The previous version makes data of every kind and stops. The present one opens the
// same folder: everything is as it was, whoever was logged in still is, and no group of
// handlers begins anew.
func TestDataFolder(t *testing.T) {
	t.Parallel()
	data, env := t.TempDir(), []string{"SLUICE_ORDER_PENDING_TIMEOUT=1h"}
	old := older.Start(t, env, "--data", data)
	admin := old.Client(t)
	nc := natstest.Dial(t, old.Said(t, "NATS"))
	js := natstest.JetStream(t, nc)
	user := made(t, admin.As(""), "/v1/users", registration("ada"))
	var session struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	login := map[string]string{"login": "ada", "password": program.AdminPassword}
	admin.As("").Do(t, http.MethodPost, "/v1/sessions", login).Into(t, http.StatusCreated, &session)
	var pending string
	for _, steps := range [][]string{{"confirm"}, {"confirm", "ship"}, {"confirm", "ship", "deliver"}, {"cancel"}, nil} {
		pending = made(t, admin, "/v1/orders", purchase(user))
		for _, step := range steps {
			admin.Do(t, http.MethodPost, "/v1/orders/"+pending+"/"+step, nil).Want(t, http.StatusOK)
		}
	}
	admin.Do(t, http.MethodPost, "/v1/services", map[string]any{"name": "shop", "version": "1.0.0", "host": "shop.invalid", "port": 80}).Want(t, http.StatusCreated)
	if err := nc.Publish("user.created", []byte("not an event")); err != nil {
		t.Fatal(err)
	}
	var letters struct {
		Items []struct {
			ID       string `json:"id"`
			Attempts int    `json:"attempts"`
		} `json:"items"`
	}
	program.Until(t, "there is a dead letter", func() bool {
		admin.Get(t, "/v1/dead-letters", &letters)
		return len(letters.Items) == 1
	})
	ask(t, nc, admin.Token, "svc.order.projection-rebuild", `{"name":"orders"}`)
	program.Until(t, "orders is rebuilt", func() bool {
		kv, err := js.KeyValue(t.Context(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		where, err := kv.Get(t.Context(), "generation.1")
		return err == nil && strings.Contains(string(where.Value()), `"serving":1`)
	})
	idle(t, js)
	paths := []string{
		"/v1/orders", "/v1/orders?status=shipped", "/v1/users/" + user + "/orders", "/v1/users", "/v1/users/" + user,
		"/v1/notifications", "/v1/orders/" + pending, "/v1/orders/" + pending + "/history", "/v1/dead-letters",
	}
	before := make(map[string]string)
	for _, path := range paths {
		before[path] = admin.Do(t, http.MethodGet, path, nil).Want(t, http.StatusOK).Body
	}
	history := counted(t, js, "ORDERS", "order.*.*")
	sent, positions := mails(t, data), floors(t, js)
	if sent != 6 {
		t.Fatalf("%d mails of the old version", sent)
	}
	nc.Close()
	old.Stop(t)

	now := newer.Start(t, env, "--data", data)
	admin = admin.At(now.Said(t, "HTTP")) // with the token of then
	js = natstest.JetStream(t, natstest.Dial(t, now.Said(t, "NATS")))
	admin.Eventually(t, http.StatusOK, http.MethodGet, "/v1/notifications", nil)
	for _, path := range paths {
		if got := admin.Eventually(t, http.StatusOK, http.MethodGet, path, nil).Body; got != before[path] {
			t.Errorf("GET %s:\n was %s\n is %s", path, before[path], got)
		}
	}
	if got := counted(t, js, "ORDERS", "order.*.*"); !maps.Equal(got, history) {
		t.Errorf("the history of orders is %v, and was %v", got, history)
	}
	ada := admin.As(session.Access)
	ada.Do(t, http.MethodGet, "/v1/users/"+user, nil).Want(t, http.StatusOK)
	admin.As("").Do(t, http.MethodPost, "/v1/sessions", map[string]string{"refresh_token": session.Refresh}).Want(t, http.StatusCreated)
	admin.As("").SignIn(t, "ada", program.AdminPassword)
	admin.Do(t, http.MethodGet, "/v1/services/shop", nil).Want(t, http.StatusOK)
	if len(counted(t, js, bus.TimerStream, "timer.set.order."+pending)) != 1 {
		t.Error("the pending order's timer is gone")
	}
	if err := now.Errors(); err != nil {
		t.Error(err)
	}
	letter, attempts := letters.Items[0].ID, letters.Items[0].Attempts
	admin.Do(t, http.MethodPost, "/v1/dead-letters/"+letter+"/redrive", nil)
	program.Until(t, "the letter was handled anew", func() bool {
		admin.Get(t, "/v1/dead-letters", &letters)
		return len(letters.Items) == 1 && letters.Items[0].ID == letter && letters.Items[0].Attempts > attempts
	})
	admin.Do(t, http.MethodPost, "/v1/orders/"+pending+"/confirm", nil).Want(t, http.StatusOK)
	made(t, ada, "/v1/orders", purchase(user))
	idle(t, js)
	program.Until(t, "the new order is confirmed by mail", func() bool { return mails(t, data) > sent })
	if n := mails(t, data); n != sent+1 {
		t.Errorf("%d mails after one more order, and %d before", n, sent)
	}
	for name, floor := range floors(t, js) {
		if floor < positions[name] {
			t.Errorf("group %s has gone back from %d to %d", name, positions[name], floor)
		}
	}
	now.Stop(t)
}
