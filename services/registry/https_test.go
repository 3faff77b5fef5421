package registry

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/services/registry/registryapi"
)

// secured is an instance that is checked over HTTPS, with a file of who vouches for it.
func secured(t *testing.T) (instance, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	server.Config.ErrorLog = log.New(t.Output(), "", 0) // refused handshakes
	server.StartTLS()
	t.Cleanup(server.Close)
	i := targetOf(t, server)
	i.Check.Scheme = "https"
	file := filepath.Join(t.TempDir(), "ca.pem")
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return i, file
}

func roots(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	roots, err := authorities(file)
	if err != nil {
		t.Fatal(err)
	}
	return roots
}

func TestCertificatesAreVerified(t *testing.T) {
	t.Parallel()
	i, file := secured(t)
	here := addresses{loopback: true}
	trusting, strange := newProber(here, roots(t, file)), newProber(here, roots(t, ""))
	if got := trusting.probe(t.Context(), i); got != "" {
		t.Errorf("with its authority: %q", got)
	}
	if got := strange.probe(t.Context(), i); got != "certificate not valid" {
		t.Errorf("without its authority: %q", got)
	}
	named := i
	named.Host = "localhost" // which the certificate does not name
	if got := trusting.probe(t.Context(), named); got != "certificate not valid" {
		t.Errorf("under another name: %q", got)
	}
	plain := i
	plain.Check.Scheme = ""
	if got := trusting.probe(t.Context(), plain); got != "status 400" {
		t.Errorf("without TLS: %q", got)
	}
	unsecured := target(t, func(http.ResponseWriter, *http.Request) { t.Error("it was called") })
	unsecured.Check.Scheme = "https"
	if got := trusting.probe(t.Context(), unsecured); got != "no TLS" {
		t.Errorf("with TLS where there is none: %q", got)
	}
	if got := newProber(addresses{}, roots(t, file)).probe(t.Context(), i); got != "address not allowed" {
		t.Errorf("where it may not go: %q", got)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	server.Config.ErrorLog = log.New(t.Output(), "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	i := targetOf(t, server)
	i.Check.Scheme = "https"
	if got := newProber(addresses{loopback: true}, nil).probe(t.Context(), i); got != "no answer" {
		t.Errorf("TLS 1.1: %q", got)
	}
}

// The scheme of a check goes all the way from the request to the check.
func TestChecksOverHTTPS(t *testing.T) {
	t.Parallel()
	i, file := secured(t)
	r := newReplicaWith(t, newServer(t).Connect(t), shortTerm, newProber(addresses{loopback: true}, roots(t, file)))
	req := registryapi.RegisterRequest{
		Name: "pay", ID: "a", Version: "1.0.0", Host: i.Host, Port: i.Port,
		Check: &registryapi.Check{Interval: "100ms", Retries: 1, Scheme: "https"},
	}
	r.mustRegister(t, req)
	r.awaitStatus(t, registryapi.StatusHealthy)
	if shown := r.instance(t, "a"); shown.Check == nil || shown.Check.Scheme != "https" {
		t.Errorf("it is shown as %+v", shown)
	}
	if _, err := r.changeCheck(t.Context(), registryapi.ChangeCheckRequest{Name: "pay", Check: &registryapi.Check{Interval: "100ms", Retries: 1}}); err != nil {
		t.Fatal(err)
	}
	r.awaitStatus(t, registryapi.StatusUnhealthy) // plain HTTP is no answer for it
}

func TestAuthoritiesAreASetting(t *testing.T) {
	t.Parallel()
	nothing := filepath.Join(t.TempDir(), "nothing.pem")
	if err := os.WriteFile(nothing, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{nothing, "/does/not/exist.pem"} {
		_, err := authorities(file)
		if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "registry.ca_file") {
			t.Errorf("%s: %v", file, err)
		}
	}
}
