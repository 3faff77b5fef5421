package gateway_test

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"sluice/pkg/endpoint"
	"sluice/services/gateway"
)

// seldom is a rate at which no second token comes while a test runs.
func seldom(burst int) gateway.Rate { return gateway.Rate{PerSecond: 0.001, Burst: burst} }

func TestClientsAreLimited(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{Settings: gateway.Settings{Client: seldom(3)}})
	for n, token := range []string{asCustomer, asCustomer, asCustomer} {
		a := w.do(t, "GET", "/v1/things", "", "Authorization", token)
		if a.status != 200 || a.header.Get("RateLimit-Limit") != "3" || a.header.Get("RateLimit-Remaining") != strconv.Itoa(2-n) || a.header.Get("RateLimit-Reset") == "" {
			t.Errorf("%d: %d %v", n, a.status, a.header)
		}
	}
	a := w.do(t, "GET", "/v1/things", "", "Authorization", asCustomer)
	if p := a.problem(t); a.status != 429 || p.Code != endpoint.CodeRateLimited || a.header.Get("RateLimit-Remaining") != "0" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	if wait, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || wait < 900 || wait > 1000 {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	// Others are others: another user, a service, and an address for those who are nobody
	// or claim to be somebody in vain.
	for _, token := range []string{asOperator, asService, "", "Bearer forged"} {
		if a := w.do(t, "GET", "/v1/things", "", "Authorization", token); a.status == 429 {
			t.Errorf("%q: %d", token, a.status)
		}
	}
	w.do(t, "GET", "/v1/things", "", "Authorization", "Bearer another")
	if a := w.do(t, "GET", "/v1/things", "", "Authorization", "Bearer one more"); a.status != 429 {
		t.Errorf("forged tokens are no clients: %d", a.status)
	}
	for range 5 {
		if a := w.do(t, "GET", "/healthz", ""); a.status != 200 {
			t.Errorf("healthz: %d", a.status)
		}
	}
}

func TestRoutesAreLimited(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{Settings: gateway.Settings{Routes: []gateway.RouteLimit{
		{Route: "GET /v1/things/{id}", Rate: seldom(1)}, {Route: "GET /healthz", Rate: seldom(1)},
	}}})
	for n, want := range []int{200, 429, 429} {
		if a := w.do(t, "GET", "/v1/things/a", "", "Authorization", asCustomer); a.status != want {
			t.Errorf("%d: %d", n, a.status)
		}
	}
	if a := w.do(t, "GET", "/v1/things/a", "", "Authorization", asOperator); a.status != 200 {
		t.Errorf("somebody else: %d", a.status)
	}
	if a := w.do(t, "GET", "/v1/things", "", "Authorization", asCustomer); a.status != 200 || a.header.Get("RateLimit-Limit") != "" {
		t.Errorf("another route: %d %v", a.status, a.header)
	}
	w.do(t, "GET", "/healthz", "")
	if a := w.do(t, "GET", "/healthz", ""); a.status != 429 {
		t.Errorf("one of the gateway's own: %d", a.status)
	}
}

// Whoever logs in is nobody yet: what counts is where they come from.
func TestLoggingInIsLimitedByAddress(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	w := start(t, gateway.Config{Settings: gateway.Settings{Sessions: seldom(1), TrustedProxies: proxies}}, echo)
	for n, c := range []struct {
		forwarded, token string
		status           int
	}{
		{"", "", 200},
		{"", asCustomer, 429}, // a token does not help
		{"9.9.9.9", "", 200},
		{"9.9.9.9", "", 429},
		{"8.8.8.8, 9.9.9.9", "", 429},            // what a client says of itself before
		{"9.9.9.9, 10.1.1.1", "", 429},           // through one more of our proxies
		{"10.1.1.1, 9.9.9.9, 10.1.1.1", "", 429}, // a client in the middle
		{"7.7.7.7, nonsense", "", 429},           // a proxy that can't be believed is the client
		{"2001:db8::1", "", 200},
		{"2001:db8::2", "", 429}, // of the same customer
		{"2001:db8:0:1::1", "", 200},
		{"::ffff:9.9.9.9", "", 429}, // the same, written otherwise
	} {
		header := []string{"Authorization", c.token}
		if c.forwarded != "" {
			header = append(header, "X-Forwarded-For", c.forwarded)
		}
		if a := w.do(t, "POST", "/v1/sessions", "{}", header...); a.status != c.status {
			t.Errorf("%d: from %q: %d %s", n, c.forwarded, a.status, a.body)
		}
	}
	if a := w.do(t, "POST", "/v1/notes", "{}"); a.status != 201 {
		t.Errorf("another route: %d", a.status)
	}

	// Nobody's word is taken who is not trusted.
	plain := start(t, gateway.Config{Settings: gateway.Settings{Sessions: seldom(1)}}, echo)
	plain.do(t, "POST", "/v1/sessions", "{}", "X-Forwarded-For", "1.1.1.1")
	if a := plain.do(t, "POST", "/v1/sessions", "{}", "X-Forwarded-For", "2.2.2.2"); a.status != 429 {
		t.Errorf("an address made up: %d", a.status)
	}
	awaitLog(t, plain.logs, `"client":"127.0.0.1"`)
	if strings.Contains(plain.logs.String(), "2.2.2.2") {
		t.Error("the address made up is in the log")
	}
}
