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
)

// While the user service is gone, or hangs, the breaker of the order service opens and
// orders go on from its replica of users; when the service is back the breaker closes.
func TestTheBreakerOfTheUserService(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		away func(t *testing.T, users *process)
		back func(t *testing.T, users *process, server []string) *process
	}{
		"gone": {
			away: func(t *testing.T, users *process) { t.Helper(); users.kill() },
			back: func(t *testing.T, _ *process, server []string) *process { t.Helper(); return start(t, server, "user") },
		},
		"hangs": {
			away: func(t *testing.T, users *process) { t.Helper(); users.signal(t, syscall.SIGSTOP) },
			back: func(t *testing.T, users *process, _ []string) *process {
				t.Helper()
				users.signal(t, syscall.SIGCONT)
				return users
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Start(t)
			server := []string{"NATS_URL=" + srv.URL()}
			nc := srv.Connect(t)
			users := start(t, server, "user")
			settings := append([]string{"SLUICE_ORDER_USER_FAILURES=3", "SLUICE_ORDER_USER_RECOVERY=500ms"}, server...)
			rest := start(t, settings, "order", "gateway", "--data", t.TempDir())
			orders := rest.said(t, "HTTP") + "/v1/orders"
			id := read[user](t, must(t, http.StatusCreated, http.MethodPost, rest.said(t, "HTTP")+"/v1/users", registration("ada"), nil)).ID
			must(t, http.StatusCreated, http.MethodPost, orders, purchase(id, "with"), nil)
			if got := breakerOfUsers(t, nc); got != "closed" {
				t.Fatalf("the breaker is %q at first", got)
			}

			c.away(t, users)
			eventually(t, http.StatusCreated, http.MethodPost, orders, purchase(id, "as it goes"))
			for n := 0; breakerOfUsers(t, nc) != "open"; n++ {
				if must(t, http.StatusCreated, http.MethodPost, orders, purchase(id, "without"), nil); n == 3 {
					t.Fatal("the breaker is closed after more failures than it takes")
				}
			}
			must(t, http.StatusCreated, http.MethodPost, orders, purchase(id, "while open"), nil)

			users = c.back(t, users, server)
			const nobody = "01900000-0000-7000-8000-000000000000"
			eventually(t, http.StatusBadRequest, http.MethodPost, orders, purchase(nobody, "only the service knows"))
			if got := breakerOfUsers(t, nc); got != "closed" {
				t.Errorf("the breaker is %q although the service has answered", got)
			}
			must(t, http.StatusCreated, http.MethodPost, orders, purchase(id, "again"), nil)
			users.stop(t)
			log := rest.stop(t)
			for _, want := range []string{"circuit breaker changed", "to=open", "to=half-open", "to=closed"} {
				if !strings.Contains(log, want) {
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

// signal sends a signal that does not end the process.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%v: %v", s, err)
	}
}
