package flows_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"sluice/pkg/endpoint"
	"sluice/services/registry/registryapi"
	"sluice/streams"
	"sluice/test/program"
)

// A service that does not run on NATS is registered, checked and forgotten, over HTTP
// and over NATS alike.
func TestRegistryOfServicesElsewhere(t *testing.T) {
	t.Parallel()
	s := start(t, map[string]string{"SLUICE_REGISTRY_ALLOW_LOOPBACK": "true"})
	var ill atomic.Bool
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ill.Load() || r.URL.Path != "/alive" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(shop.Close)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(shop.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	feed, err := s.NC.SubscribeSync("feed.service.*.shop")
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"name":"shop","id":"one","version":"2.1.0","host":"127.0.0.1","port":%s,"health_endpoint":"/alive",
		"check":{"interval":"1s","timeout":"1s","retries":2}}`, port)
	var shown registryapi.Service
	created := s.Do(t, http.MethodPost, "/v1/services", body)
	created.Into(t, http.StatusCreated, &shown)
	if created.Header.Get("Location") != "/v1/services/shop" || !strings.HasPrefix(created.Position(), streams.Services.Name+"=") ||
		shown.Name != "shop" || shown.Version != "2.1.0" || len(shown.Instances) != 1 || shown.Instances[0].Check.Retries != 2 {
		t.Errorf("registered: %v %s", created.Header, created.Body)
	}
	s.Get(t, "/v1/services/shop", &shown, endpoint.HeaderPosition, created.Position())

	if a := s.Do(t, http.MethodPost, "/v1/services", body); a.Status != http.StatusConflict || !strings.Contains(a.Body, "service_already_exists") {
		t.Errorf("registered twice: %d %s", a.Status, a.Body)
	}
	await := func(want registryapi.Status) {
		t.Helper()
		program.Until(t, "it is "+string(want), func() bool {
			got, err := call(t, s, registryapi.Get, registryapi.GetRequest{Name: "shop"})
			return err == nil && got.Status == want && len(got.Instances) == 1 && got.Instances[0].Status == want
		})
	}
	await(registryapi.StatusHealthy)
	if got, err := call(t, s, registryapi.HealthCheck, registryapi.HealthCheckRequest{Name: "shop"}); err != nil || got.Status != registryapi.StatusHealthy {
		t.Errorf("checked now: %+v, %v", got, err)
	}
	ill.Store(true)
	await(registryapi.StatusUnhealthy)
	if a := s.Do(t, http.MethodPost, "/v1/services/shop/health-check", nil); a.Status != http.StatusServiceUnavailable ||
		!strings.Contains(a.Body, "health_check_failed") || !strings.Contains(a.Body, `"instances.one"`) || !strings.Contains(a.Body, "status 503") {
		t.Errorf("checked now while ill: %d %s", a.Status, a.Body)
	}
	for _, want := range []string{"registered", "healthy", "unhealthy"} {
		m, err := feed.NextMsg(program.Patience)
		if err != nil || m.Subject != "feed.service."+want+".shop" {
			t.Fatalf("%v, %v instead of %s", m, err, want)
		}
	}
	if a := s.Do(t, http.MethodPut, "/v1/services/shop/check", `{"check":{"interval":"1h"}}`); a.Status != http.StatusOK || !strings.Contains(a.Body, `"interval":"1h0m0s"`) {
		t.Errorf("another check: %d %s", a.Status, a.Body)
	}
	if a := s.Do(t, http.MethodDelete, "/v1/services/shop", nil); a.Status != http.StatusOK {
		t.Errorf("deregistered: %d %s", a.Status, a.Body)
	}
	for _, path := range []string{"/v1/services/shop", "/v1/services/nobody"} {
		for _, method := range []string{http.MethodDelete, http.MethodGet} {
			program.Until(t, method+" "+path+" is not found", func() bool {
				a := s.Do(t, method, path, nil)
				return a.Status == http.StatusNotFound && strings.Contains(a.Body, "service_not_found")
			})
		}
	}
}

// Services on NATS are there without being registered, a moment after they have started.
func TestRegistryOfServicesOnNATS(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	const want = "deadletter gateway notification order registry user"
	program.Until(t, "the services are "+want, func() bool { return strings.Join(s.healthyServices(t), " ") == want })
	if got, err := call(t, s, registryapi.HealthCheck, registryapi.HealthCheckRequest{Name: "order"}); err != nil || len(got.Instances) != 1 {
		t.Errorf("order: %+v, %v", got, err)
	}
	for _, host := range []string{"127.0.0.1", "169.254.169.254"} {
		a := s.Do(t, http.MethodPost, "/v1/services", `{"name":"inside","version":"1","host":"`+host+`","port":80}`)
		if a.Status != http.StatusBadRequest || !strings.Contains(a.Body, `"host"`) {
			t.Errorf("%s: %d %s", host, a.Status, a.Body)
		}
	}
	if a := s.Do(t, http.MethodGet, "/v1/services?cursor=~", nil); a.Status != http.StatusBadRequest {
		t.Errorf("a malformed cursor: %d %s", a.Status, a.Body)
	}
}

// healthyServices pages through the services, which have to be healthy.
func (s *system) healthyServices(t *testing.T) []string {
	t.Helper()
	var names []string
	for path := "/v1/services?limit=2"; path != ""; {
		var page registryapi.ListResponse
		s.Get(t, path, &page)
		for _, found := range page.Items {
			names = append(names, found.Name)
			if found.Status != registryapi.StatusHealthy || len(found.Instances) != 1 || found.Version != "0.1.0" || found.LastHeartbeat.IsZero() {
				t.Errorf("%+v", found)
			}
		}
		path = ""
		if page.Next != "" {
			path = "/v1/services?limit=2&cursor=" + page.Next
		}
	}
	return names
}
