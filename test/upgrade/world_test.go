//go:build upgrade

package upgrade_test

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/endpoint"
	"sluice/test/program"
)

// order is what the API shows of one, as far as these tests look.
type order struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Version uint64 `json:"version"`
}

// page is a list of anything that has an id.
type page struct {
	Items []order `json:"items"`
	Next  string  `json:"next"`
}

func registration(name string) map[string]any {
	return map[string]any{"username": name, "email": name + "@example.com", "password": program.AdminPassword}
}

func purchase(user string) map[string]any {
	return map[string]any{"user_id": user, "items": []any{map[string]any{
		"product_id": "p-1", "quantity": 2, "price": map[string]any{"number": "19.99", "currency": "EUR"},
	}}}
}

// ask makes a request to an endpoint with a token.
func ask(t *testing.T, nc *nats.Conn, token, subject, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), program.Patience)
	defer cancel()
	m := &nats.Msg{Subject: subject, Data: []byte(body), Header: nats.Header{endpoint.HeaderAuthorization: {"Bearer " + token}}}
	reply, err := nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	if code := reply.Header.Get("Nats-Service-Error-Code"); code != "" {
		t.Fatalf("%s: %s %s", subject, code, reply.Data)
	}
}

// idle waits until every group has done what there is to do.
func idle(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	for _, g := range [][2]string{
		{"ORDERS", "order-guard"},
		{"ORDERS", "order-timers"},
		{"ORDERS", "notification-orders"},
		{"USERS", "notification-users"},
		{"USERS", "user-guard"},
		{"NOTIFICATIONS", "notification-guard"},
	} {
		program.Until(t, g[1]+" is idle", func() bool {
			c, err := js.Consumer(t.Context(), g[0], g[1])
			return err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
		})
	}
}

// mails returns how many were written below folders.
func mails(t *testing.T, folders ...string) int {
	t.Helper()
	n := 0
	for _, folder := range folders {
		names, err := filepath.Glob(filepath.Join(folder, "mail", "*.eml"))
		if err != nil {
			t.Fatal(err)
		}
		n += len(names)
	}
	return n
}

// all returns every item of a list, page by page.
func all(t *testing.T, c program.Client, path string, header ...string) map[string]order {
	t.Helper()
	found := make(map[string]order)
	for cursor := ""; ; {
		var p page
		c.Get(t, path+cursor, &p, header...)
		for _, o := range p.Items {
			if _, twice := found[o.ID]; twice {
				t.Errorf("%s shows %s twice", path, o.ID)
			}
			found[o.ID] = o
		}
		if p.Next == "" {
			return found
		}
		cursor = "&cursor=" + p.Next
	}
}

// counted returns how many messages each subject of a history has.
func counted(t *testing.T, js jetstream.JetStream, stream, filter string) map[string]uint64 {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(filter))
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Subjects
}

// made makes something and returns its id.
func made(t *testing.T, c program.Client, path string, body any) string {
	t.Helper()
	var o order
	c.Eventually(t, http.StatusCreated, http.MethodPost, path, body).Into(t, http.StatusCreated, &o)
	return o.ID
}

// floors returns how far each group of handlers of the histories is.
func floors(t *testing.T, js jetstream.JetStream) map[string]uint64 {
	t.Helper()
	at := make(map[string]uint64)
	for _, stream := range []string{"USERS", "ORDERS", "NOTIFICATIONS", "SERVICES"} {
		s, err := js.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		list := s.ListConsumers(t.Context())
		for info := range list.Info() {
			if info.Config.Durable != "" {
				at[info.Name] = info.AckFloor.Stream
			}
		}
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return at
}
