package system_test

import (
	"context"
	"net/http"
	"net/mail"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/endpoint"
	"sluice/test/program"
)

// checkModels holds every bucket against the fold of history.
func checkModels(ctx context.Context, t *testing.T, js jetstream.JetStream, users, orders, notifications []recorded) {
	t.Helper()
	userModel, orderReplica, mailReplica := foldUsers(users)
	for _, row := range []struct {
		bucket, stream string
		events         []recorded
		want           model
	}{
		{"users", "USERS", users, userModel},
		{"order-users", "USERS", users, orderReplica},
		{"notification-users", "USERS", users, mailReplica},
		{"orders", "ORDERS", orders, foldOrders(orders)},
		{"notifications", "NOTIFICATIONS", notifications, foldNotifications(notifications)},
	} {
		kv, err := js.KeyValue(ctx, row.bucket)
		if err != nil {
			t.Fatal(err)
		}
		awaitFolded(ctx, t, kv, row.stream, row.events[len(row.events)-1].sequence)
		got := contents(ctx, t, kv)
		for key, want := range row.want {
			if !reflect.DeepEqual(got[key], want) {
				t.Errorf("bucket %s, key %s:\n is %v\nnot %v", row.bucket, key, got[key], want)
			}
			delete(got, key)
		}
		for key := range got {
			t.Errorf("bucket %s: nothing in history has led to key %s", row.bucket, key)
		}
	}
}

// awaitFolded returns once a bucket's checkpoint has reached a sequence.
func awaitFolded(ctx context.Context, t *testing.T, kv jetstream.KeyValue, stream string, sequence uint64) {
	t.Helper()
	watch, err := kv.Watch(ctx, "checkpoint."+stream)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	var at struct {
		Sequence uint64 `json:"sequence"`
	}
	for at.Sequence < sequence {
		select {
		case entry := <-watch.Updates():
			if entry == nil {
				continue // the end of what was there
			}
			if err := json.Unmarshal(entry.Value(), &at); err != nil {
				t.Fatalf("checkpoint of %s: %v", kv.Bucket(), err)
			}
		case <-ctx.Done():
			t.Fatalf("bucket %s has folded %s up to %d of %d", kv.Bucket(), stream, at.Sequence, sequence)
		}
	}
}

// contents reads a bucket without its checkpoint.
func contents(ctx context.Context, t *testing.T, kv jetstream.KeyValue) model {
	t.Helper()
	watch, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	got := model{}
	for {
		select {
		case entry := <-watch.Updates():
			switch {
			case entry == nil:
				return got
			case strings.HasPrefix(entry.Key(), "checkpoint."):
			case strings.Contains(entry.Key(), "."):
				got[entry.Key()] = string(entry.Value())
			default:
				var v any
				if err := json.Unmarshal(entry.Value(), &v); err != nil {
					t.Fatalf("bucket %s, key %s: %v", kv.Bucket(), entry.Key(), err)
				}
				got[entry.Key()] = v
			}
		case <-ctx.Done():
			t.Fatalf("bucket %s is not read in time", kv.Bucket())
		}
	}
}

// checkOverHTTP holds what the API shows of orders against the fold of history.
func checkOverHTTP(t *testing.T, api program.Client, events []recorded, want model) {
	t.Helper()
	position := "ORDERS=" + strconv.FormatUint(events[len(events)-1].sequence, 10)
	for _, e := range events {
		if e.kind != "order.created" {
			continue
		}
		got := read[any](t, api.Do(t, http.MethodGet, "/v1/orders/"+e.id, nil, endpoint.HeaderPosition, position).Want(t, http.StatusOK))
		if !reflect.DeepEqual(got, want[e.id]) {
			t.Errorf("GET /v1/orders/%s:\n is %v\nnot %v", e.id, got, want[e.id])
		}
	}
}

// checkLogins holds that users were not stored without their passwords; some of them,
// because hashing is slow.
func checkLogins(ctx context.Context, t *testing.T, js jetstream.JetStream, users []recorded) {
	t.Helper()
	for i := 0; i < len(users); i += max(1, len(users)/8) {
		body, err := json.Marshal(map[string]any{"login": users[i].text("email"), "password": "correct horse battery"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		reply, err := js.Conn().RequestWithContext(ctx, "svc.user.authenticate", body)
		cancel()
		if err != nil {
			t.Fatalf("authenticate: %v", err)
		}
		if code := reply.Header.Get("Nats-Service-Error-Code"); code != "" {
			t.Errorf("user %s can't log in: %s %s", users[i].id, code, reply.Data)
		}
	}
}

// checkNotifications holds that each was sent and recorded once.
func checkNotifications(t *testing.T, events []recorded, expected map[string]letter) {
	t.Helper()
	for _, e := range events {
		if e.kind != "notification.sent" {
			t.Errorf("%s %s", e.kind, e.id)
		}
		if _, ok := expected[e.id]; !ok {
			t.Errorf("notification %s has no cause", e.id)
		}
	}
	if len(events) != len(expected) {
		t.Errorf("%d notifications are recorded, not %d", len(events), len(expected))
	}
}

// checkMails holds that the folder has exactly one file for each mail, and nothing
// else.
func checkMails(t *testing.T, folder string, expected map[string]letter) {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]string) // file by Message-ID
	for _, file := range files {
		want, ok := expected[strings.TrimSuffix(file.Name(), ".eml")]
		if !ok {
			t.Errorf("nobody asked for file %s", file.Name())
			continue
		}
		messageID := checkMail(t, filepath.Join(folder, file.Name()), want)
		if other, twice := seen[messageID]; twice {
			t.Errorf("Message-ID %s is in %s and %s", messageID, other, file.Name())
		}
		seen[messageID] = file.Name()
	}
	if len(seen) != len(expected) {
		t.Errorf("%d mails, not %d", len(seen), len(expected))
	}
}

func checkMail(t *testing.T, path string, want letter) (messageID string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	msg, err := mail.ReadMessage(file)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	h := msg.Header
	if h.Get("Message-ID") != "<"+want.id+"@sluice>" || h.Get("To") != "<"+want.to+">" || h.Get("Subject") != want.subject {
		t.Errorf("mail %s: %v, want %+v", path, h, want)
	}
	return h.Get("Message-ID")
}
