package system_test

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"sluice/pkg/natstest"
	"sluice/test/ledger"
	"sluice/test/program"
)

// While the user service is gone, or hangs, the breaker of the order service opens and
// orders go on from its replica of users; when the service is back the breaker closes.
func TestTheBreakerOfTheUserService(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		away func(t *testing.T, users *program.Process)
		back func(t *testing.T, users *program.Process, server []string) *program.Process
	}{
		"gone": {
			away: func(t *testing.T, users *program.Process) { t.Helper(); users.Kill() },
			back: func(t *testing.T, _ *program.Process, server []string) *program.Process {
				t.Helper()
				return binary.Start(t, server, "user")
			},
		},
		"hangs": {
			away: func(t *testing.T, users *program.Process) { t.Helper(); users.Signal(t, syscall.SIGSTOP) },
			back: func(t *testing.T, users *program.Process, _ []string) *program.Process {
				t.Helper()
				users.Signal(t, syscall.SIGCONT)
				return users
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Start(t)
			server := []string{"NATS_URL=" + srv.URL()}
			nc := srv.Connect(t)
			users := binary.Start(t, server, "user")
			settings := append([]string{"SLUICE_POLICIES_USER_BREAKER_FAILURES=3", "SLUICE_ORDER_POLICIES_USER_BREAKER_RECOVERY=500ms"}, server...)
			rest := binary.Start(t, settings, "order", "gateway", "--data", t.TempDir())
			api := rest.Client(t)
			place := func(userID, product string) program.Answer {
				return api.Do(t, http.MethodPost, "/v1/orders", ledger.Purchase(userID, product))
			}
			id := read[user](t, api.Do(t, http.MethodPost, "/v1/users", ledger.Registration("ada")).Want(t, http.StatusCreated)).ID
			place(id, "with").Want(t, http.StatusCreated)
			if got := breakerOfUsers(t, nc); got != "closed" {
				t.Fatalf("the breaker is %q at first", got)
			}

			c.away(t, users)
			api.Eventually(t, http.StatusCreated, http.MethodPost, "/v1/orders", ledger.Purchase(id, "as it goes"))
			for n := 0; breakerOfUsers(t, nc) != "open"; n++ {
				if place(id, "without").Want(t, http.StatusCreated); n == 3 {
					t.Fatal("the breaker is closed after more failures than it takes")
				}
			}
			place(id, "while open").Want(t, http.StatusCreated)

			users = c.back(t, users, server)
			const nobody = "01900000-0000-7000-8000-000000000000"
			api.Eventually(t, http.StatusBadRequest, http.MethodPost, "/v1/orders", ledger.Purchase(nobody, "only the service knows"))
			if got := breakerOfUsers(t, nc); got != "closed" {
				t.Errorf("the breaker is %q although the service has answered", got)
			}
			place(id, "again").Want(t, http.StatusCreated)
			users.Stop(t)
			rest.Stop(t)
			for _, want := range []string{"circuit breaker changed", "to=open", "to=half-open", "to=closed"} {
				if !strings.Contains(rest.Stderr.String(), want) {
					t.Errorf("the log of the order service has no %q", want)
				}
			}
		})
	}
}

// breakerOfUsers asks the order service for the state of its breaker of the user
// service, which is there once it has been used.
func breakerOfUsers(t *testing.T, nc *nats.Conn) string {
	t.Helper()
	msg, err := nc.Request("svc.order.health", nil, 5*time.Second)
	if err != nil {
		t.Fatalf("health of the order service: %v", err)
	}
	var health struct {
		Breakers map[string]string `json:"breakers"`
	}
	if err := json.Unmarshal(msg.Data, &health); err != nil {
		t.Fatalf("health of the order service: %v: %s", err, msg.Data)
	}
	return health.Breakers["user"]
}
