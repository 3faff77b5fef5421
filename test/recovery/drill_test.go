//go:build drill

package recovery_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/pkg/endpoint"
	"sluice/test/program"
)

// A backup is taken while things happen, much more happens, and the backup is put back.
// Everything that had got further than the backup says so and is not used, also when
// the histories have grown past it; rebuilt, it is exact. Groups of handlers go on by
// themselves: what the backup has is not done twice, and what is new is done.
func TestDrill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(t)
	ada := w.newUser(t, "ada")
	statuses := make(map[string]string) // of the orders that the backup has
	for i, steps := range [][]string{nil, {"confirm"}, {"confirm", "ship"}, {"confirm", "ship", "deliver"}, {"cancel"}, nil} {
		id := w.newOrder(t, ada)
		statuses[id] = "pending"
		for _, step := range steps {
			w.step(t, id, step)
			statuses[id] = map[string]string{"confirm": "confirmed", "ship": "shipped", "deliver": "delivered", "cancel": "cancelled"}[step]
		}
		if i == 2 {
			w.rebuild(t, "order", "orders") // so that the backup meets a model of generation 1
		}
	}
	if err := w.nc.Publish("user.created", []byte("not an event")); err != nil {
		t.Fatal(err)
	}
	letters := func(status int) string {
		t.Helper()
		return w.Do(t, http.MethodGet, "/v1/dead-letters", nil).Want(t, status).Body
	}
	program.Until(t, "there is a dead letter", func() bool { return strings.Contains(letters(http.StatusOK), "user-intake") })
	w.idle(t)
	folder := filepath.Join(t.TempDir(), "backup")
	w.mustBackup(t, "take", folder)
	w.mustBackup(t, "check", folder)

	lost := w.happens(t, ada, statuses)
	if said, ok := w.backup(t, "restore", "-replace", folder); ok || !strings.Contains(said, "stop ") || !strings.Contains(said, "order") {
		t.Fatalf("restored under running services: %s", said)
	}
	w.process.Stop(t)
	w.refuses(t, folder)
	ahead := map[string]uint64{"ORDERS": w.last(t, "ORDERS"), "USERS": w.last(t, "USERS"), "NOTIFICATIONS": w.last(t, "NOTIFICATIONS")}
	w.mustBackup(t, "restore", "-replace", folder)
	for stream, last := range ahead {
		if got := w.last(t, stream); got >= last {
			t.Fatalf("%s ends at %d after the restore, and did at %d", stream, got, last)
		}
	}

	mails := w.mails(t)
	w.start(t)
	w.parked(t, map[string]string{
		"orders": "order", "order-users": "order", "order_search_v1": "order", "users": "user",
		"notifications": "notification", "notification-users": "notification",
	})
	for _, path := range []string{"/v1/users/" + ada, "/v1/users", "/v1/orders/" + lost.order, "/v1/orders", "/v1/users/" + ada + "/orders", "/v1/notifications"} {
		w.Do(t, http.MethodGet, path, nil).Want(t, http.StatusServiceUnavailable)
	}
	w.rebuild(t, "user", "users")
	again := w.newOrder(t, ada, endpoint.HeaderIdempotencyKey, lost.key)
	statuses[again] = "pending"
	for w.last(t, "ORDERS") <= ahead["ORDERS"]+5 { // past where the models were
		id := w.newOrder(t, ada)
		w.step(t, id, "confirm")
		statuses[id] = "confirmed"
	}
	w.parked(t, map[string]string{"orders": "order", "order_search_v1": "order"})
	w.Do(t, http.MethodGet, "/v1/orders/"+lost.order, nil, endpoint.HeaderPosition, w.at(t, "ORDERS")).Want(t, http.StatusServiceUnavailable)

	for _, m := range [][2]string{
		{"order", "orders"},
		{"order", "order-users"},
		{"order", "order_search_v1"},
		{"notification", "notifications"},
		{"notification", "notification-users"},
	} {
		w.rebuild(t, m[0], m[1])
	}
	w.exact(t, ada, lost, statuses)
	w.idle(t)
	w.notified(t, statuses, mails)
	if body := letters(http.StatusOK); !strings.Contains(body, "user-intake") {
		t.Errorf("the dead letter is not back: %s", body)
	}
	for id, status := range statuses {
		if set := w.timer(t, id); set != (status == "pending") {
			t.Errorf("order %s is %s; its timer is set: %t", id, status, set)
		}
	}
	w.process.Stop(t)
}

// idle waits until every group has done what there is to do.
func (w *world) idle(t *testing.T) {
	t.Helper()
	for _, g := range [][2]string{
		{"ORDERS", "order-guard"},
		{"ORDERS", "order-timers"},
		{"ORDERS", "notification-orders"},
		{"USERS", "notification-users"},
		{"USERS", "user-guard"},
		{"NOTIFICATIONS", "notification-guard"},
	} {
		w.settled(t, g[0], g[1])
	}
}

// gone is what happens after the backup.
type gone struct{ order, key, user string }

// happens lets time go on, and returns some of what a restore takes back.
func (w *world) happens(t *testing.T, ada string, statuses map[string]string) gone {
	t.Helper()
	lost := gone{key: "bought-once", user: w.newUser(t, "grace")}
	again := w.newOrder(t, ada, endpoint.HeaderIdempotencyKey, lost.key)
	for range 10 {
		lost.order = w.newOrder(t, lost.user)
	}
	for id, status := range statuses {
		if status == "pending" {
			w.step(t, id, "confirm")
		}
	}
	w.Do(t, http.MethodGet, "/v1/orders/"+again, nil, endpoint.HeaderPosition, w.at(t, "ORDERS")).Want(t, http.StatusOK)
	var list struct {
		Items []order `json:"items"`
	}
	w.Get(t, "/v1/dead-letters", &list)
	for _, letter := range list.Items {
		w.Do(t, http.MethodDelete, "/v1/dead-letters/"+letter.ID, nil)
	}
	w.idle(t)
	for service, names := range map[string][]string{"order": {"orders", "order_search_v1"}, "notification": {"notifications"}, "user": {"users"}} {
		for _, name := range names {
			program.Until(t, name+" is up to date", func() bool { m := w.models(t, service)[name]; return m.Position >= m.Last })
		}
	}
	return lost
}

// refuses holds that what must not be restored is not, and that the server is left as
// it is.
func (w *world) refuses(t *testing.T, folder string) {
	t.Helper()
	before := w.last(t, "ORDERS")
	for name, spoil := range map[string]func(t *testing.T, copied string){
		"a byte is another": func(t *testing.T, copied string) {
			t.Helper()
			files, err := filepath.Glob(filepath.Join(copied, "ORDERS", "*.s2"))
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			content, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			content[len(content)/2] ^= 1
			if err := os.WriteFile(files[0], content, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"it was cut short": func(t *testing.T, copied string) {
			t.Helper()
			if err := os.Remove(filepath.Join(copied, "manifest.json")); err != nil {
				t.Fatal(err)
			}
		},
		"a stream is missing": func(t *testing.T, copied string) {
			t.Helper()
			if err := os.RemoveAll(filepath.Join(copied, "USERS")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		copied := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(copied, os.DirFS(folder)); err != nil {
			t.Fatal(err)
		}
		spoil(t, copied)
		if said, ok := w.backup(t, "restore", "-replace", copied); ok || !strings.Contains(said, "no whole backup") {
			t.Fatalf("%s: %s", name, said)
		}
	}
	if said, ok := w.backup(t, "restore", folder); ok || !strings.Contains(said, "nothing was changed") || !strings.Contains(said, "ORDERS: ") {
		t.Fatalf("restored over newer state without being told to: %s", said)
	}
	if said, ok := w.backup(t, "take", folder); ok || !strings.Contains(said, "not empty") {
		t.Fatalf("took a backup into another: %s", said)
	}
	if after := w.last(t, "ORDERS"); after != before {
		t.Fatalf("ORDERS ends at %d after refusals, and did at %d", after, before)
	}
}

// parked waits until these models, by service, stand still, and their services say so.
func (w *world) parked(t *testing.T, models map[string]string) {
	t.Helper()
	for name, service := range models {
		program.Until(t, name+" is parked", func() bool { return w.models(t, service)[name].State == "parked" })
		if health := w.ask(t, "svc."+service+".health", ""); !strings.Contains(string(health.Data), "failing") {
			t.Errorf("%s is parked, and the service says %s", name, health.Data)
		}
		if !strings.Contains(w.process.Stderr.String(), "read_model="+name+" ") {
			t.Errorf("%s is parked, and the log is silent", name)
		}
	}
}

// exact holds what the API shows against what happened in the history that there is now.
func (w *world) exact(t *testing.T, ada string, lost gone, statuses map[string]string) {
	t.Helper()
	position := w.at(t, "ORDERS")
	for id, status := range statuses {
		var o order
		w.Get(t, "/v1/orders/"+id, &o, endpoint.HeaderPosition, position)
		if o.Status != status {
			t.Errorf("order %s is %s, not %s", id, o.Status, status)
		}
	}
	w.Do(t, http.MethodGet, "/v1/orders/"+lost.order, nil).Want(t, http.StatusNotFound)
	w.Do(t, http.MethodGet, "/v1/users/"+lost.user, nil).Want(t, http.StatusNotFound)
	w.Do(t, http.MethodPost, "/v1/sessions", map[string]string{"login": "grace", "password": program.AdminPassword}).Want(t, http.StatusUnauthorized)
	w.As("").SignIn(t, "ada", program.AdminPassword)
	for _, path := range []string{"/v1/orders?limit=200", "/v1/users/" + ada + "/orders?limit=200"} {
		var list struct {
			Items []order `json:"items"`
		}
		w.Get(t, path, &list, endpoint.HeaderPosition, position)
		shown := make(map[string]string)
		for _, o := range list.Items {
			shown[o.ID] = o.Status
		}
		if len(shown) != len(statuses) || len(list.Items) != len(statuses) {
			t.Errorf("%s shows %d orders, not %d", path, len(list.Items), len(statuses))
		}
		for id, status := range statuses {
			if shown[id] != status {
				t.Errorf("%s: order %s is %q, not %s", path, id, shown[id], status)
			}
		}
	}
	created := 0
	for _, subject := range w.events(t, "ORDERS", "order.created.*") {
		created++
		if id := strings.TrimPrefix(subject, "order.created."); statuses[id] == "" {
			t.Errorf("the history has order %s, which nobody placed", id)
		}
	}
	if created != len(statuses) {
		t.Errorf("%d orders were placed, and %d are in the history", len(statuses), created)
	}
}

// notified holds that every order was confirmed by mail once: those of the backup
// before, and those that came after by now.
func (w *world) notified(t *testing.T, statuses map[string]string, before map[string]bool) {
	t.Helper()
	var list struct {
		Items []struct {
			OrderID string `json:"order_id"`
			Status  string `json:"status"`
		} `json:"items"`
	}
	w.Get(t, "/v1/notifications?limit=500", &list, endpoint.HeaderPosition, w.at(t, "NOTIFICATIONS"))
	confirmed := make(map[string]int)
	for _, n := range list.Items {
		if n.OrderID != "" {
			confirmed[n.OrderID]++
		}
	}
	for id := range statuses {
		if confirmed[id] != 1 {
			t.Errorf("order %s was confirmed by mail %d times", id, confirmed[id])
		}
	}
	after := w.mails(t)
	written := 0
	for name := range after {
		if !before[name] {
			written++
		}
	}
	fresh := len(statuses) - backedUp
	if written != fresh {
		t.Errorf("%d mails were written after the restore for %d orders", written, fresh)
	}
}

// backedUp is how many orders the backup has.
const backedUp = 6
