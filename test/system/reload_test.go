package system_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"sluice/pkg/natstest"
	"sluice/test/ledger"
	"sluice/test/program"
)

func writeConfig(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func awaitLog(t *testing.T, p *program.Process, parts ...string) {
	t.Helper()
	program.Until(t, "the log has a line with "+strings.Join(parts, ", "), func() bool {
		for line := range strings.Lines(p.Stderr.String()) {
			if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
				return true
			}
		}
		return false
	})
}

// TestReloadBySignal: SIGHUP changes the limits and the log of a process that answers
// requests meanwhile, and a broken file neither changes nor ends anything.
func TestReloadBySignal(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "shop.tsk")
	writeConfig(t, file, "[log]\nlevel: \"warn\"\n")
	p := binary.Start(t, nil, "--config", file, "--data", t.TempDir())
	api := p.Client(t)
	status := func() int { return api.Do(t, http.MethodGet, "/v1/users", nil).Status }
	if got := status(); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
	if log := p.Stderr.String(); strings.Contains(log, "level=INFO") && strings.Contains(log, "msg=request") {
		t.Errorf("requests are logged at level warn:\n%s", log)
	}

	writeConfig(t, file, "[log]\nlevel: \"info\"\n[gateway]\nroutes: [\"GET /v1/users=0.001:2\"]\ntimeout: 20s\n[http]\naddress: \"127.0.0.1:1\"\n")
	p.Signal(t, syscall.SIGHUP)
	awaitLog(t, p, "level=INFO", "setting changed", "setting=gateway.routes", file+":4:9")
	awaitLog(t, p, "level=WARN", "setting needs a restart", "setting=gateway.timeout", "to=20s")
	awaitLog(t, p, "configuration reloaded")
	for n, want := range []int{http.StatusOK, http.StatusOK, http.StatusTooManyRequests} {
		if got := status(); got != want {
			t.Errorf("request %d after the limit came: status %d", n, got)
		}
	}
	awaitLog(t, p, "msg=request", "status=429")

	writeConfig(t, file, "[gateway]\nroutes: [\"GET /v1/users=many\"]\n[gatewy]\n")
	p.Signal(t, syscall.SIGHUP)
	awaitLog(t, p, "level=ERROR", "configuration not reloaded", file+":2:")
	awaitLog(t, p, "level=ERROR", "configuration not reloaded", file+":3:2")
	if got := status(); got != http.StatusTooManyRequests {
		t.Errorf("a broken file changed the limits: status %d", got)
	}

	writeConfig(t, file, "")
	p.Signal(t, syscall.SIGHUP)
	awaitLog(t, p, "setting changed", "setting=gateway.routes", "to=[]")
	if got := status(); got != http.StatusOK {
		t.Errorf("without the limit: status %d", got)
	}
	p.Stop(t)
}

// TestRouting: of two orders the one that the route leaves out is not mailed, and counts as
// handled; who is not to be welcomed is not; and erasure is never left out.
func TestRouting(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	file := filepath.Join(t.TempDir(), "shop.tsk")
	writeConfig(t, file, `[routing.notification-orders]
conditions: [{ data: "items.0.product_id", contains: "book" }, { data: "total_amount.number", greater: 39 }]
[routing.notification-users]
conditions: [{ data: "username", not_equals: "ghost" }, { attribute: "source", equals: "/services/user" }]
`)
	p := binary.Start(t, nil, "--config", file, "--data", data)
	api := p.Client(t)
	ghost := read[user](t, api.Do(t, http.MethodPost, "/v1/users", ledger.Registration("ghost")).Want(t, http.StatusCreated))
	ada := read[user](t, api.Do(t, http.MethodPost, "/v1/users", ledger.Registration("ada")).Want(t, http.StatusCreated))
	var ids []string
	for _, product := range []string{"lamp", "cookbook"} {
		ids = append(ids, read[order](t, api.Do(t, http.MethodPost, "/v1/orders", ledger.Purchase(ada.ID, product)).Want(t, http.StatusCreated)).ID)
	}
	js := natstest.JetStream(t, natstest.Dial(t, p.Said(t, "NATS")))
	settled := func(stream, consumer string) {
		program.Until(t, consumer+" has handled everything", func() bool {
			c, err := js.Consumer(t.Context(), stream, consumer)
			if err != nil {
				t.Fatal(err)
			}
			info := c.CachedInfo()
			return info.NumPending == 0 && info.NumAckPending == 0
		})
	}
	settled("USERS", "notification-users")
	settled("ORDERS", "notification-orders")
	mails := func() string {
		files, err := filepath.Glob(filepath.Join(data, "mail", "*.eml"))
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, f := range files {
			content, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(content)
		}
		return all.String()
	}
	got := mails()
	for text, want := range map[string]bool{"Hello ada": true, "Hello ghost": false, ids[0]: false, ids[1]: true} {
		if strings.Contains(got, text) != want {
			t.Errorf("mails with %s: %t\n%s", text, !want, got)
		}
	}
	if n := api.Do(t, http.MethodGet, "/metrics", nil).Want(t, http.StatusOK).Body; strings.Count(n, "sluice_handler_filtered_total{") != 2 {
		t.Error("what is left out is not counted")
	}
	api.Do(t, http.MethodDelete, "/v1/users/"+ada.ID, nil).Want(t, http.StatusOK)
	program.Until(t, "the mails of who was erased are gone", func() bool { return !strings.Contains(mails(), "Hello ada") })
	p.Stop(t)

	// Narrower subjects are a filter of the consumer itself.
	writeConfig(t, file, "[routing.notification-users]\nsubjects: [\"user.created."+ghost.ID+"\"]\n")
	p = binary.Start(t, nil, "--config", file, "--data", data)
	js = natstest.JetStream(t, natstest.Dial(t, p.Said(t, "NATS")))
	c, err := js.Consumer(t.Context(), "USERS", "notification-users")
	if err != nil {
		t.Fatal(err)
	}
	if filters := slices.Sorted(slices.Values(c.CachedInfo().Config.FilterSubjects)); !slices.Equal(filters, []string{"user.created." + ghost.ID, "user.erased.*"}) {
		t.Errorf("the consumer filters on %v", filters)
	}
	api = p.Client(t)
	api.Do(t, http.MethodPost, "/v1/users", ledger.Registration("grace")).Want(t, http.StatusCreated)
	api.Do(t, http.MethodDelete, "/v1/users/"+ghost.ID, nil).Want(t, http.StatusOK)
	settled("USERS", "notification-users")
	if got := mails(); strings.Contains(got, "Hello grace") {
		t.Errorf("what the consumer does not filter on was handled:\n%s", got)
	}
	p.Stop(t)
}
