package gateway_test

import (
	"net/http"
	"strconv"
	"sync"
	"testing"

	"sluice/services/gateway"
)

// TestLimitsChange: the limits of a gateway that runs are others from one request to the
// next, and where they are the same, what a client has used counts on.
func TestLimitsChange(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{Settings: gateway.Settings{Sessions: seldom(1)}})
	get := func(path string) int { return w.do(t, "GET", path, "", "Authorization", asCustomer).status }
	for range 3 {
		if status := get("/v1/things"); status != 200 {
			t.Fatalf("without a limit: %d", status)
		}
	}
	limited := gateway.Settings{
		Sessions: seldom(1), Client: seldom(3),
		Routes: []gateway.RouteLimit{{Route: "GET /v1/things/{id}", Rate: seldom(1)}, {Route: "GET /healthz", Rate: seldom(1)}},
	}
	w.gateway.Limit(limited)
	for n, want := range []int{200, 429} {
		if status := get("/v1/things/a"); status != want {
			t.Errorf("%d of a route: %d", n, status)
		}
	}
	limited.Routes = limited.Routes[1:]
	w.gateway.Limit(limited)
	for n, want := range []int{200, 429} { // the third and the fourth of three
		if status := get("/v1/things/a"); status != want {
			t.Errorf("%d of a client: %d", n, status)
		}
	}
	w.gateway.Limit(gateway.Settings{})
	if status := get("/v1/things/a"); status != 200 {
		t.Errorf("without a limit again: %d", status)
	}
}

// TestStreamsOfEventsAreLimitedAnew holds for those that begin after the change.
func TestStreamsOfEventsAreLimitedAnew(t *testing.T) {
	t.Parallel()
	w, _ := startLive(t, gateway.EventStreams{PerCaller: 1})
	open := func() int {
		res, _ := w.listen(t, "operator olga", "subject=order.*.*")
		return res.StatusCode
	}
	for n, step := range []struct{ perCaller, want int }{{1, 200}, {1, 429}, {2, 200}, {1, 429}} {
		w.gateway.Limit(gateway.Settings{Events: gateway.EventStreams{PerCaller: step.perCaller}})
		if got := open(); got != step.want {
			t.Errorf("step %d: %d", n, got)
		}
	}
}

// TestLimitsChangeUnderLoad: every request is answered by one set of limits or the other.
func TestLimitsChangeUnderLoad(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 50 {
				a := w.do(t, "GET", "/v1/things", "", "Authorization", asCustomer)
				limit := a.header.Get("RateLimit-Limit")
				if n, err := strconv.Atoi(limit); a.status != http.StatusOK || limit != "" && (err != nil || n < 100_000 || n > 100_010) {
					t.Errorf("%d with a limit of %q", a.status, limit)
				}
			}
		})
	}
	for n := range 300 {
		s := gateway.Settings{}
		if n%3 > 0 {
			s.Client = gateway.Rate{PerSecond: 1e6, Burst: 100_000 + n%10}
		}
		w.gateway.Limit(s)
	}
	clients.Wait()
}
