package registry

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/services/registry/registryapi"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"10.0.0.7": true, "172.16.3.4": true, "192.168.1.1": true, "100.64.0.1": true, "93.184.216.34": true,
		"2001:db8::1": true, "fd12:3456::1": true, "::ffff:10.0.0.7": true,

		"127.0.0.1": false, "127.8.8.8": false, "::1": false, "::ffff:127.0.0.1": false,
		"169.254.169.254": false, "169.254.0.1": false, "::ffff:169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false,
		"100.100.100.200": false, "168.63.129.16": false, "192.0.0.192": false, "fd00:ec2::254": false, "fd20:ce::254": false,
		"0.0.0.0": false, "0.1.2.3": false, "::": false, "::10.0.0.7": false, "255.255.255.255": false, "240.0.0.1": false,
		"224.0.0.1": false, "ff02::1": false,
		"64:ff9b::a9fe:a9fe": false, "64:ff9b:1::a9fe:a9fe": false, "2002:a9fe:a9fe::": false, "2001::1": false,
	} {
		ip := netip.MustParseAddr(address)
		if got := (addresses{}).allowed(ip); got != want {
			t.Errorf("%s: allowed is %t", address, got)
		}
		if got := (addresses{}).refusesHost(address); got == want {
			t.Errorf("%s: refused as a host is %t", address, got)
		}
		if got := (addresses{loopback: true}).allowed(ip); got != (want || ip.Unmap().IsLoopback()) {
			t.Errorf("%s: allowed with loopback is %t", address, got)
		}
		err := addresses{}.control("tcp", net.JoinHostPort(address, "80"), nil)
		if (err == nil) != want {
			t.Errorf("%s: dialling it gives %v", address, err)
		}
	}
	if (addresses{}).allowed(netip.Addr{}) || (addresses{}).control("tcp", "nonsense", nil) == nil {
		t.Error("no address is allowed")
	}
}

// target is an instance whose health is what handler says.
func target(t *testing.T, handler http.HandlerFunc) instance {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return targetOf(t, server)
}

func targetOf(t *testing.T, server *httptest.Server) instance {
	t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return instance{ID: "a", Host: u.Hostname(), Port: port, HealthEndpoint: "/health?deep=1", Check: registryapi.Check{Interval: "1m", Timeout: "20s", Retries: 1}}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	p := newProber(addresses{loopback: true}, nil)
	answers := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.URL.RequestURI() != "/health?deep=1" {
				status = http.StatusBadRequest
			}
			w.WriteHeader(status)
		}
	}
	for status, want := range map[int]string{200: "", 204: "", 299: "", 304: "status 304", 404: "status 404", 500: "status 500", 503: "status 503"} {
		if got := p.probe(t.Context(), target(t, answers(status))); got != want {
			t.Errorf("status %d: %q", status, got)
		}
	}

	elsewhere := target(t, func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	redirects := target(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+net.JoinHostPort(elsewhere.Host, strconv.Itoa(elsewhere.Port)), http.StatusFound)
	})
	if got := p.probe(t.Context(), redirects); got != "status 302" {
		t.Errorf("a redirect: %q", got)
	}

	endless := target(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 64<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	if got := p.probe(t.Context(), endless); got != "" {
		t.Errorf("an endless body: %q", got)
	}
	if got := p.probe(t.Context(), target(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Large", strings.Repeat("x", 64<<10))
	})); got != "no answer" {
		t.Errorf("endless headers: %q", got)
	}

	silent := target(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	silent.Check.Timeout = (20 * time.Millisecond).String()
	if got := p.probe(t.Context(), silent); got != "timed out" {
		t.Errorf("silence: %q", got)
	}

	closed := httptest.NewServer(answers(200))
	gone := targetOf(t, closed)
	closed.Close()
	if got := p.probe(t.Context(), gone); got != "connection refused" {
		t.Errorf("nobody there: %q", got)
	}
}

// A name is judged by what it means when it is dialled, and so is a path that looks like
// another host.
func TestProbeStaysWhereItMay(t *testing.T) {
	t.Parallel()
	here := target(t, func(http.ResponseWriter, *http.Request) { t.Error("it was called") })
	p := newProber(addresses{}, nil)
	for _, host := range []string{here.Host, "localhost", "169.254.169.254", "0.0.0.0"} {
		i := here
		i.Host = host
		if got := p.probe(t.Context(), i); got != "address not allowed" {
			t.Errorf("%s: %q", host, got)
		}
	}
	called := newProber(addresses{loopback: true}, nil)
	for _, path := range []string{"@example.com/", "http://example.com/", "//example.com/x"} {
		u, err := probeURL(instance{Host: "10.0.0.7", Port: 80, HealthEndpoint: path})
		if parsed, wrong := url.Parse(u); err == nil && (wrong != nil || parsed.Host != "10.0.0.7:80") {
			t.Errorf("%s leads to %s", path, u)
		}
	}
	if got := called.probe(t.Context(), instance{Host: "127.0.0.1", Port: 1, HealthEndpoint: "nonsense"}); got != "malformed health endpoint" {
		t.Errorf("no path: %q", got)
	}
}

// No health endpoint that a request may have leads to another host.
func TestHealthEndpointsStayOnTheirHost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		path := "/" + rapid.StringMatching(`[/@:?#%.\\a-c\[\]\x00-\x20]{0,12}`).Draw(t, "path")
		req := registryapi.RegisterRequest{Name: "pay", Version: "1", Host: "10.0.0.7", Port: 80, HealthEndpoint: path}
		if len(req.Validate()) > 0 {
			return
		}
		target, err := probeURL(instance{Host: "10.0.0.7", Port: 80, HealthEndpoint: path})
		if err != nil {
			t.Fatalf("%q was taken and cannot be asked: %v", path, err)
		}
		u, err := url.Parse(target)
		if err != nil || u.Scheme != "http" || u.Host != "10.0.0.7:80" || u.User != nil {
			t.Fatalf("%q leads to %q, %v", path, target, err)
		}
	})
}
