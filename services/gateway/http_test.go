package gateway_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/endpoint"
	"sluice/services/gateway"
)

// What is read is compressed for those who take it; what may hold a token never is.
func TestAnswersAreCompressed(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{})
	long := `{"name":"` + strings.Repeat("lamp ", 400) + `","price":{"number":"5.00","currency":"EUR"}}`
	plain := http.Client{Transport: &http.Transport{DisableCompression: true}}
	ask := func(method, path, body string, header ...string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, w.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", asCustomer)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept-Encoding", "gzip")
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := plain.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	if res := ask("PUT", "/v1/things/a", long); res.Header.Get("Content-Encoding") != "" || res.StatusCode != 200 || res.Header.Get("ETag") != `"2"` {
		t.Errorf("PUT: %d %v", res.StatusCode, res.Header)
	}
	res := ask("GET", "/v1/things/a", "")
	if res.Header.Get("Content-Encoding") != "gzip" || res.Header.Get("ETag") != `"2-gzip"` || !slices.Contains(res.Header.Values("Vary"), "Accept-Encoding") {
		t.Fatalf("GET: %v", res.Header)
	}
	unzip, err := gzip.NewReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(unzip)
	if err != nil || !strings.Contains(string(got), "lamp lamp") {
		t.Errorf("%q, %v", got, err)
	}
	if res := ask("GET", "/v1/things/a", "", "If-None-Match", `"2-gzip"`); res.StatusCode != 304 {
		t.Errorf("known: %d %v", res.StatusCode, res.Header)
	}
	if res := ask("GET", "/v1/things/a", "", "Accept-Encoding", "identity"); res.Header.Get("Content-Encoding") != "" || res.Header.Get("ETag") != `"2"` || res.ContentLength < 2000 {
		t.Errorf("identity: %v", res.Header)
	}
	if res := ask("GET", "/openapi.json", ""); res.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("openapi: %v", res.Header)
	}
}

// Only what is on the list goes through, in either direction.
func TestHeadersOffTheListStayOutside(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{})
	spy := w.srv.Connect(t)
	sub, err := spy.SubscribeSync("svc.thing.get")
	if err != nil {
		t.Fatal(err)
	}
	if err := spy.Flush(); err != nil {
		t.Fatal(err)
	}
	a := w.do(t, "GET", "/v1/things/a", "", "Authorization", asCustomer, "Connection", "X-Secret, close", "X-Secret", "1", "Keep-Alive", "timeout=5",
		"Te", "trailers", "Upgrade", "h2c", "Proxy-Authorization", "Basic x", "Cookie", "c=1", "X-Forwarded-For", "1.2.3.4",
		"Nats-Msg-Id", "1", "Nats-Rollup", "all", "Sluice-Timeout", "1", "Sluice-User-Id", "root", "Sluice-Not-Taken", "true",
		endpoint.HeaderIdempotencyKey, "k", endpoint.HeaderPosition, "THINGS=1", endpoint.HeaderExpectedVersion, "7")
	if a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	m, err := sub.NextMsgWithContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for name := range m.Header {
		switch name {
		case "Authorization", "Sluice-Correlation-Id", "Sluice-Timeout", "Sluice-Position", "traceparent":
		default:
			t.Errorf("%s: %v went through", name, m.Header[name])
		}
	}
	if m.Header.Get("Sluice-Timeout") == "1" || m.Header.Get("Authorization") != asCustomer {
		t.Errorf("%v", m.Header)
	}

	// A service can't set headers of HTTP either.
	stranger(t, w.srv.Connect(t), "rude", "get", "svc.rude.get", map[string]string{
		"http.method": "GET", "http.path": "/v1/rude", "http.auth": "public", "schema.request": anyObject, "schema.response": anyObject,
	})
	rude := w.srv.Connect(t)
	if _, err := rude.QueueSubscribe("svc.rude.get", "q", func(m *nats.Msg) {
		_ = m.RespondMsg(&nats.Msg{Data: []byte(`{}`), Header: nats.Header{
			"Set-Cookie": {"a=b"}, "Location": {"https://evil.example/"}, "Content-Type": {"text/html"}, "Etag": {`"1"`},
		}})
	}); err != nil {
		t.Fatal(err)
	}
	a = w.awaitStatus(t, "/v1/rude", 200)
	if a.header.Get("Set-Cookie")+a.header.Get("Location")+a.header.Get("Etag") != "" || a.header.Get("Content-Type") != "application/json" ||
		a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v", a.header)
	}
}

func TestLimitsOfARequest(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{Settings: gateway.Settings{Timeout: 300 * time.Millisecond, MaxBody: 4096, MaxHeader: 4096}})
	a := w.do(t, "POST", "/v1/things", `{"name":"`+strings.Repeat("x", 4096)+`"}`, "Authorization", asCustomer)
	if p := a.problem(t); a.status != 413 || p.Detail != "the body is larger than 4KiB" {
		t.Errorf("%d %s", a.status, a.body)
	}
	// The server may hang up while the client is still sending.
	if a, err := w.try(t.Context(), "GET", "/v1/things", "", "X-Long", strings.Repeat("x", 40_000)); err == nil && a.status != 431 {
		t.Errorf("a long header: %d %s", a.status, a.body)
	}

	// A body that does not come.
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.gateway.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := fmt.Fprintf(c, "POST /v1/things HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", asCustomer); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 408 || res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

// A client that has sent all it will send still wants its answer.
func TestAHalfClosedConnectionIsAnswered(t *testing.T) {
	t.Parallel()
	entered, cancelled := make(chan struct{}), make(chan struct{})
	w := start(t, gateway.Config{}, func(ctx context.Context, r noteRequest) (note, error) {
		close(entered)
		<-cancelled
		return echo(ctx, r)
	})
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.gateway.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, "GET /v1/notes/7 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	close(cancelled)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode < 400 {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	awaitLog(t, w.logs, `"status":499`)
}

func TestMoreConnectionsThanAllowedWait(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{Settings: gateway.Settings{MaxConnections: 1}})
	client := func() *http.Client { return &http.Client{Transport: &http.Transport{}} }
	ask := func(ctx context.Context, c *http.Client) error {
		req, err := http.NewRequestWithContext(ctx, "GET", w.url+"/healthz", nil)
		if err != nil {
			return err
		}
		res, err := c.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	first := client()
	if err := ask(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := ask(short, client()); err == nil {
		t.Error("a second connection was served")
	}
	first.CloseIdleConnections()
	if err := ask(t.Context(), client()); err != nil {
		t.Errorf("after the first has gone: %v", err)
	}
}

// certificate writes a certificate for 127.0.0.1 and returns who trusts it.
func certificate(t *testing.T) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, secret.Public(), secret)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return cert, key, roots
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	cert, key, roots := certificate(t)
	for name, settings := range map[string]gateway.Settings{"in the clear": {}, "by TLS": {TLS: gateway.TLS{Cert: cert, Key: key}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := shop(t, gateway.Config{Settings: settings})
			protocols := new(http.Protocols)
			protocols.SetHTTP2(settings.TLS.Cert != "")
			protocols.SetUnencryptedHTTP2(settings.TLS.Cert == "")
			transport := &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
			t.Cleanup(transport.CloseIdleConnections)
			client := &http.Client{Transport: transport}
			for range 3 {
				req, err := http.NewRequestWithContext(t.Context(), "POST", w.url+"/v1/things", strings.NewReader(someThing))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", asCustomer)
				req.Header.Set("Content-Type", "application/json")
				res, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				if err != nil || res.ProtoMajor != 2 || res.StatusCode != 201 || res.Header.Get("Location") == "" {
					t.Errorf("%s %d %s %v", res.Proto, res.StatusCode, body, err)
				}
			}
		})
	}
}

// Stop ends HTTP/2 connections too, and answers what is in flight on them.
func TestStopAnswersWhatIsInFlightOnHTTP2(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	w := start(t, gateway.Config{}, func(ctx context.Context, r noteRequest) (note, error) {
		close(entered)
		<-release
		return echo(ctx, r)
	})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	got := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(t.Context(), "GET", w.url+"/v1/notes/7", nil)
		if err != nil {
			got <- err
			return
		}
		res, err := client.Do(req)
		if err == nil && res.StatusCode != 200 {
			err = fmt.Errorf("status %d", res.StatusCode)
		}
		got <- err
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- w.gateway.Stop(t.Context()) }()
	awaitRefused(t, w.gateway.Addr())
	close(release)
	if err := <-got; err != nil {
		t.Error(err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestABadCertificateIsOneClearError(t *testing.T) {
	t.Parallel()
	g := gateway.New(gateway.Config{Addr: "127.0.0.1:0", Settings: gateway.Settings{TLS: gateway.TLS{Cert: "nowhere.pem", Key: "nowhere.pem"}}})
	if err := g.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "nowhere.pem") {
		t.Errorf("Start = %v", err)
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{Settings: gateway.Settings{CORS: gateway.CORS{Origins: []string{"https://shop.example"}}}})
	a := w.do(t, "OPTIONS", "/v1/things/a", "", "Origin", "https://shop.example",
		"Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "authorization,content-type,if-match")
	h := a.header
	if a.status != 204 || h.Get("Access-Control-Allow-Origin") != "https://shop.example" || h.Get("Access-Control-Allow-Methods") != "PUT" ||
		h.Get("Access-Control-Allow-Headers") != "authorization,content-type,if-match" || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%d %v", a.status, h)
	}
	a = w.do(t, "GET", "/v1/things", "", "Origin", "https://shop.example")
	if a.status != 200 || a.header.Get("Access-Control-Allow-Origin") != "https://shop.example" || !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "Sluice-Position") {
		t.Errorf("%d %v", a.status, a.header)
	}
	// Errors too can be read.
	if a := w.do(t, "GET", "/v1/things/a", "", "Origin", "https://shop.example"); a.status != 401 || a.header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("%d %v", a.status, a.header)
	}
	for _, method := range []string{"OPTIONS", "GET"} {
		a = w.do(t, method, "/v1/things", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "GET")
		if a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", method, a.header)
		}
	}

	off := shop(t, gateway.Config{})
	a = off.do(t, "OPTIONS", "/v1/things/a", "", "Origin", "https://shop.example", "Access-Control-Request-Method", "PUT")
	if a.status != 405 || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("off: %d %v", a.status, a.header)
	}
}

func TestTheLogTellsWhoAskedAndHowMuchWasSent(t *testing.T) {
	t.Parallel()
	w := shop(t, gateway.Config{})
	a := w.do(t, "GET", "/v1/things", "", "Authorization", asOperator, endpoint.HeaderCorrelationID, "c-7")
	awaitLog(t, w.logs, `"correlation_id":"c-7"`)
	var line string
	for l := range bytes.Lines([]byte(w.logs.String())) {
		if bytes.Contains(l, []byte(`"msg":"request",`)) && bytes.Contains(l, []byte("c-7")) {
			line = string(l)
		}
	}
	for _, want := range []string{
		`"route":"GET /v1/things"`, `"status":200`, fmt.Sprintf(`"bytes":%d`, len(a.body)), `"client":"127.0.0.1"`, `"user_id":"olga"`, `"trace_id":"`,
	} {
		if !strings.Contains(line, want) {
			t.Errorf("no %s in %s", want, line)
		}
	}
}
