package system_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
	"sluice/test/ledger"
	"sluice/test/program"
)

// One process has the NATS server and the user service, another all the rest. When
// the first dies and comes back, the second goes on.
func TestServicesInTwoProcesses(t *testing.T) {
	t.Parallel()
	users := t.TempDir()
	first := binary.Start(t, nil, "user", "--data", users)
	rest := t.TempDir()
	server := first.Said(t, "NATS")
	second := binary.Start(t, []string{"NATS_URL=" + server}, "order", "notification", "deadletter", "registry", "gateway", "--data", rest)
	api := second.Client(t)
	api.Do(t, http.MethodGet, "/readyz", nil).Want(t, http.StatusOK)
	ada := wholeFlow(t, api, "ada", mailFolder(rest))

	first.Kill()
	api.Eventually(t, http.StatusServiceUnavailable, http.MethodGet, "/readyz", nil)
	p := api.Do(t, http.MethodGet, "/v1/users/"+ada, nil).Problem(t, http.StatusServiceUnavailable, endpoint.CodeUnavailable)
	if p.Detail != "NATS is unreachable" {
		t.Errorf("without NATS: %+v", p)
	}
	api.Do(t, http.MethodGet, "/healthz", nil).Want(t, http.StatusOK)

	third := binary.Start(t, nil, "user", "--data", users, "--nats", strings.TrimPrefix(server, "nats://"))
	api.Eventually(t, http.StatusOK, http.MethodGet, "/readyz", nil)
	api.Do(t, http.MethodGet, "/v1/users/"+ada, nil).Want(t, http.StatusOK)
	wholeFlow(t, api, "grace", mailFolder(rest))
	second.Stop(t)
	third.Stop(t)
}

// While the user service is away, orders of users that are known to the order service
// are placed all the same, and others can't be decided.
func TestOrdersWithoutTheUserService(t *testing.T) {
	t.Parallel()
	server := []string{"NATS_URL=" + natstest.Start(t).URL()}
	rest := binary.Start(t, append([]string{"SLUICE_POLICIES_USER_BREAKER_RECOVERY=100ms"}, server...), "order", "notification", "deadletter", "registry", "gateway", "--data", t.TempDir())
	anybody := rest.Anybody(t)
	anybody.Do(t, http.MethodPost, "/v1/users", ledger.Registration("ada")).Problem(t, http.StatusNotFound, endpoint.CodeNotFound)

	users := binary.Start(t, server, "user")
	api := rest.Client(t)
	ada := api.Do(t, http.MethodPost, "/v1/users", ledger.Registration("ada")).Want(t, http.StatusCreated)
	id := read[user](t, ada).ID
	api.Do(t, http.MethodPost, "/v1/orders", ledger.Purchase(id, "with")).Want(t, http.StatusCreated)
	users.Stop(t)

	api.Eventually(t, http.StatusCreated, http.MethodPost, "/v1/orders", ledger.Purchase(id, "without"))
	const nobody = "01900000-0000-7000-8000-000000000000"
	p := api.Do(t, http.MethodPost, "/v1/orders", ledger.Purchase(nobody, "unknown")).Problem(t, http.StatusServiceUnavailable, endpoint.CodeUnavailable)
	if p.Detail != "the user service does not answer" {
		t.Errorf("an unknown user's order: %+v", p)
	}
	p = api.Do(t, http.MethodGet, "/v1/users/"+id, nil).Problem(t, http.StatusServiceUnavailable, endpoint.CodeUnavailable)
	if p.Detail != "nobody serves svc.user.get" {
		t.Errorf("without the user service: %+v", p)
	}
	p = api.Do(t, http.MethodGet, "/readyz", nil).Problem(t, http.StatusServiceUnavailable, endpoint.CodeUnavailable)
	if len(p.Fields) != 1 || !p.Names("user") {
		t.Errorf("readiness without the user service: %+v", p)
	}

	users = binary.Start(t, server, "user")
	api.Do(t, http.MethodGet, "/readyz", nil).Want(t, http.StatusOK)
	a := api.Eventually(t, http.StatusBadRequest, http.MethodPost, "/v1/orders", ledger.Purchase(nobody, "unknown"))
	if p := a.Problem(t, http.StatusBadRequest, endpoint.CodeInvalid); p.Detail != "User not found" {
		t.Errorf("an unknown user's order: %+v", p)
	}
	api.Do(t, http.MethodPost, "/v1/orders", ledger.Purchase(id, "again")).Want(t, http.StatusCreated)
	users.Stop(t)
	rest.Stop(t)
}

// wholeFlow registers a user, places and confirms an order, and waits for both mails.
// It returns the user's id.
func wholeFlow(t *testing.T, api program.Client, name, mails string) string {
	t.Helper()
	before := countMails(t, mails)
	u := read[user](t, api.Do(t, http.MethodPost, "/v1/users", ledger.Registration(name)).Want(t, http.StatusCreated))
	placed := read[order](t, api.Do(t, http.MethodPost, "/v1/orders", ledger.Purchase(u.ID, "p-1")).Want(t, http.StatusCreated))
	a := api.Do(t, http.MethodPost, "/v1/orders/"+placed.ID+"/confirm", nil).Want(t, http.StatusOK)
	a = api.Do(t, http.MethodGet, "/v1/orders/"+placed.ID, nil, endpoint.HeaderPosition, a.Position()).Want(t, http.StatusOK)
	if got := read[order](t, a); got.Status != "confirmed" || got.Version != 2 {
		t.Errorf("order reads as %s", a.Body)
	}
	program.Until(t, "both mails are there", func() bool { return countMails(t, mails) >= before+2 })
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
