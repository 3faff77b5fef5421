// Package observability_test runs the whole program with a collector of traces and
// metrics, has it do all that it does, and holds what it tells of itself against what the
// documentation, the alerts and the dashboard say.
package observability_test

import (
	"bufio"
	"net/http"
	"os"
	"strings"
	"testing"

	"sluice/pkg/event"
	"sluice/pkg/telemetry/telemetrytest"
	"sluice/test/program"
)

var binary program.Binary

func TestMain(m *testing.M) { os.Exit(binary.Test(m)) }

// story is a request and all that it led to.
type story struct {
	trace    string
	received telemetrytest.Received
	scrape   string // of the program's metrics, at the end
}

const personal = "ada@example.com"

// tell runs the program until it has done what it does, and stops it. Mails cannot be
// sent, so that there are retries and dead letters.
func tell(t *testing.T) story {
	t.Helper()
	c := telemetrytest.New()
	p := binary.Start(t, []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.OverHTTP(t), "OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_METRIC_EXPORT_INTERVAL=200",
		"SMTP_URL=smtp://127.0.0.1:1", "SLUICE_GROUPS_NOTIFICATION_USERS_MAX_ATTEMPTS=3",
		"SLUICE_GROUPS_NOTIFICATION_USERS_MIN_BACKOFF=10ms", "SLUICE_GROUPS_NOTIFICATION_USERS_MAX_BACKOFF=20ms",
	}, "--data", t.TempDir(), "--ops", "127.0.0.1:0")
	admin := p.Client(t)
	admin.Eventually(t, http.StatusOK, http.MethodGet, "/readyz", nil)
	s := story{trace: strings.ReplaceAll(event.NewID(), "-", "")}

	var user, order struct {
		ID string `json:"id"`
	}
	body := map[string]string{"username": "ada", "email": personal, "password": "correct horse battery"}
	admin.Do(t, http.MethodPost, "/v1/users", body, "traceparent", "00-"+s.trace+"-00f067aa0ba902b7-01").Into(t, http.StatusCreated, &user)
	listen(t, admin)() // what lasts is measured when it is over
	stream := listen(t, admin)
	item := map[string]any{"product_id": "p-1", "quantity": 2, "price": map[string]string{"number": "19.99", "currency": "EUR"}}
	admin.Eventually(t, http.StatusCreated, http.MethodPost, "/v1/orders", map[string]any{"user_id": user.ID, "items": []any{item}}).
		Into(t, http.StatusCreated, &order)
	admin.Do(t, http.MethodPost, "/v1/orders/"+order.ID+"/confirm", nil).Want(t, http.StatusOK)
	admin.Do(t, http.MethodGet, "/v1/orders/"+event.NewID(), nil).Want(t, http.StatusNotFound)
	admin.Do(t, http.MethodGet, "/v1/nothing/"+order.ID, nil).Want(t, http.StatusNotFound)
	admin.Do(t, http.MethodGet, "/v1/orders/export", nil).Want(t, http.StatusOK)
	admin.Do(t, http.MethodPost, "/sluice.user.v1.UserService/Get", map[string]string{"id": user.ID}).Want(t, http.StatusOK)
	admin.Do(t, http.MethodDelete, "/v1/users/"+user.ID, nil).Want(t, http.StatusOK)

	ops := admin.At(p.Said(t, "Ops")).As("")
	awaited := ""
	t.Cleanup(func() {
		if t.Failed() && awaited != "" {
			t.Logf("still missing is %s in\n%s", awaited, s.scrape)
		}
	})
	program.Until(t, "everything is measured and the mail given up", func() bool {
		s.scrape = ops.Do(t, http.MethodGet, "/metrics", nil).Want(t, http.StatusOK).Body
		for _, part := range []string{
			"sluice_jetstream_consumer_waiting{", `sluice_handler_dead_letters_total{messaging_consumer_group_name="notification-users"`,
			"sluice_projection_lag{", "sluice_http_event_streams 1", `http_route="/v1/events"`, `sluice_registry_instances{sluice_service="order"`,
			"sluice_projection_commit_duration_seconds_count{", "sluice_aggregate_snapshot_loads_total{",
		} {
			if awaited = part; !strings.Contains(s.scrape, part) {
				return false
			}
		}
		awaited = "the dead letter"
		return len(of(c.Received(), s.trace, "settle notification-users")) > 0
	})
	awaited = ""
	stream()
	p.Stop(t)
	s.received = c.Received()
	return s
}

// listen opens a stream of events and returns what closes it.
func listen(t *testing.T, c program.Client) (stop func()) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL+"/v1/events?subject=order.*.*", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d: %v", res.StatusCode, err)
	}
	return func() {
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

// of returns the spans of a trace with a name.
func of(got telemetrytest.Received, trace, name string) []telemetrytest.Span {
	var found []telemetrytest.Span
	for _, s := range got.Named(name) {
		if s.TraceID == trace {
			found = append(found, s)
		}
	}
	return found
}

// TestTelling: what the program tells of itself is whole, is what is documented, and is
// what alerts and dashboard ask for.
func TestTelling(t *testing.T) {
	t.Parallel()
	s := tell(t)
	t.Run("names", func(t *testing.T) { t.Parallel(); checkNames(t, s) })
	t.Run("attributes", func(t *testing.T) { t.Parallel(); checkAttributes(t, s) })
	k := knownOf(families(t, s.scrape), descriptions(t))
	t.Run("alerts", func(t *testing.T) { t.Parallel(); checkRules(t, k) })
	t.Run("dashboard", func(t *testing.T) { t.Parallel(); checkDashboard(t, k) })
	t.Run("trace", func(t *testing.T) { t.Parallel(); checkTrace(t, s) })
}
