package ledger

import (
	"context"
	"net/http"
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

// CheckModels holds every bucket against the fold of history.
func CheckModels(ctx context.Context, t testing.TB, js jetstream.JetStream, users, orders, notifications []Event) {
	t.Helper()
	userModel, orderReplica, mailReplica := FoldUsers(users)
	for _, row := range []struct {
		bucket, stream string
		events         []Event
		want           Model
	}{
		{"users", "USERS", users, userModel},
		{"order-users", "USERS", users, orderReplica},
		{"notification-users", "USERS", users, mailReplica},
		{"orders", "ORDERS", orders, FoldOrders(orders)},
		{"notifications", "NOTIFICATIONS", notifications, FoldNotifications(notifications)},
	} {
		kv, err := js.KeyValue(ctx, row.bucket)
		if err != nil {
			t.Fatal(err)
		}
		awaitFolded(ctx, t, kv, row.stream, row.events[len(row.events)-1].Sequence)
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
func awaitFolded(ctx context.Context, t testing.TB, kv jetstream.KeyValue, stream string, sequence uint64) {
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
func contents(ctx context.Context, t testing.TB, kv jetstream.KeyValue) Model {
	t.Helper()
	watch, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	got := Model{}
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

// CheckOverHTTP holds what the API shows of orders against the fold of history.
func CheckOverHTTP(t testing.TB, api program.Client, events []Event, want Model) {
	t.Helper()
	position := "ORDERS=" + strconv.FormatUint(events[len(events)-1].Sequence, 10)
	for _, e := range events {
		if e.Kind != "order.created" {
			continue
		}
		got := read[any](t, api.Do(t, http.MethodGet, "/v1/orders/"+e.ID, nil, endpoint.HeaderPosition, position).Want(t, http.StatusOK))
		if !reflect.DeepEqual(got, want[e.ID]) {
			t.Errorf("GET /v1/orders/%s:\n is %v\nnot %v", e.ID, got, want[e.ID])
		}
	}
}

// CheckLogins holds that users were not stored without their passwords; some of them,
// because hashing is slow.
func CheckLogins(ctx context.Context, t testing.TB, js jetstream.JetStream, users []Event) {
	t.Helper()
	for i := 0; i < len(users); i += max(1, len(users)/8) {
		body, err := json.Marshal(map[string]any{"login": users[i].Text("email"), "password": "correct horse battery"})
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
			t.Errorf("user %s can't log in: %s %s", users[i].ID, code, reply.Data)
		}
	}
}
