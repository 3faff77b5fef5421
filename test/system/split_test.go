package system_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/pkg/natstest"
)

// One process has the NATS server and the user service, another all the rest. When
// the first dies and comes back, the second goes on.
func TestServicesInTwoProcesses(t *testing.T) {
	t.Parallel()
	users := t.TempDir()
	first := start(t, nil, "user", "--data", users)
	rest := t.TempDir()
	server := first.said(t, "NATS")
	second := start(t, []string{"NATS_URL=" + server}, "order", "notification", "deadletter", "registry", "gateway", "--data", rest)
	url := second.said(t, "HTTP")
	must(t, http.StatusOK, http.MethodGet, url+"/readyz", nil, nil)
	ada := wholeFlow(t, url, "ada", mailFolder(rest))

	first.kill()
	eventually(t, http.StatusServiceUnavailable, http.MethodGet, url+"/readyz", nil)
	a := must(t, http.StatusServiceUnavailable, http.MethodGet, url+"/v1/users/"+ada, nil, nil)
	if got := read[problem](t, a); got.Code != "unavailable" || got.Detail != "NATS is unreachable" {
		t.Errorf("without NATS: %s", a.body)
	}
	must(t, http.StatusOK, http.MethodGet, url+"/healthz", nil, nil)

	third := start(t, nil, "user", "--data", users, "--nats", strings.TrimPrefix(server, "nats://"))
	eventually(t, http.StatusOK, http.MethodGet, url+"/readyz", nil)
	must(t, http.StatusOK, http.MethodGet, url+"/v1/users/"+ada, nil, nil)
	wholeFlow(t, url, "grace", mailFolder(rest))
	second.stop(t)
	third.stop(t)
}

// While the user service is away, orders of users that are known to the order service
// are placed all the same, and others can't be decided.
func TestOrdersWithoutTheUserService(t *testing.T) {
	t.Parallel()
	server := []string{"NATS_URL=" + natstest.Start(t).URL()}
	rest := start(t, append([]string{"SLUICE_ORDER_USER_RECOVERY=100ms"}, server...), "order", "notification", "deadletter", "registry", "gateway", "--data", t.TempDir())
	url := rest.said(t, "HTTP")
	must(t, http.StatusServiceUnavailable, http.MethodPost, url+"/v1/users", registration("ada"), nil)

	users := start(t, server, "user")
	ada := must(t, http.StatusCreated, http.MethodPost, url+"/v1/users", registration("ada"), nil)
	id := read[user](t, ada).ID
	must(t, http.StatusCreated, http.MethodPost, url+"/v1/orders", purchase(id, "with"), nil)
	users.stop(t)

	eventually(t, http.StatusCreated, http.MethodPost, url+"/v1/orders", purchase(id, "without"))
	const nobody = "01900000-0000-7000-8000-000000000000"
	a := must(t, http.StatusServiceUnavailable, http.MethodPost, url+"/v1/orders", purchase(nobody, "unknown"), nil)
	if got := read[problem](t, a); got.Code != "unavailable" || got.Detail != "the user service does not answer" {
		t.Errorf("an unknown user's order: %s", a.body)
	}
	a = must(t, http.StatusServiceUnavailable, http.MethodGet, url+"/v1/users/"+id, nil, nil)
	if got := read[problem](t, a); got.Code != "unavailable" || got.Detail != "nobody serves svc.user.get" {
		t.Errorf("without the user service: %s", a.body)
	}
	a = must(t, http.StatusServiceUnavailable, http.MethodGet, url+"/readyz", nil, nil)
	if got := read[problem](t, a); len(got.Fields) != 1 || got.Fields[0].Field != "user" {
		t.Errorf("readiness without the user service: %s", a.body)
	}

	users = start(t, server, "user")
	must(t, http.StatusOK, http.MethodGet, url+"/readyz", nil, nil)
	a = eventually(t, http.StatusBadRequest, http.MethodPost, url+"/v1/orders", purchase(nobody, "unknown"))
	if got := read[problem](t, a); got.Detail != "User not found" {
		t.Errorf("an unknown user's order: %s", a.body)
	}
	must(t, http.StatusCreated, http.MethodPost, url+"/v1/orders", purchase(id, "again"), nil)
	users.stop(t)
	rest.stop(t)
}

// wholeFlow registers a user, places and confirms an order, and waits for both mails.
// It returns the user's id.
func wholeFlow(t *testing.T, url, name, mails string) string {
	t.Helper()
	before := countMails(t, mails)
	u := read[user](t, must(t, http.StatusCreated, http.MethodPost, url+"/v1/users", registration(name), nil))
	placed := read[order](t, must(t, http.StatusCreated, http.MethodPost, url+"/v1/orders", purchase(u.ID, "p-1"), nil))
	a := must(t, http.StatusOK, http.MethodPost, url+"/v1/orders/"+placed.ID+"/confirm", nil, nil)
	a = must(t, http.StatusOK, http.MethodGet, url+"/v1/orders/"+placed.ID, nil, headers{positionHeader: a.position})
	if got := read[order](t, a); got.Status != "confirmed" || got.Version != 2 {
		t.Errorf("order reads as %s", a.body)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for countMails(t, mails) < before+2 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d new mails", countMails(t, mails)-before)
		}
	}
	return u.ID
}

func countMails(t *testing.T, folder string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// eventually makes a request until it is answered with this status.
func eventually(t *testing.T, status int, method, url string, body any) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		a, err := send(ctx, http.DefaultClient, method, url, body, nil)
		if err == nil && a.status == status {
			return a
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s %s: status %d, not %d: %s %v", method, url, a.status, status, a.body, err)
		}
	}
}
