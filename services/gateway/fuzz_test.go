package gateway_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
	"sluice/services/gateway"
)

// tokens are real ones, and those that a stranger would make of them.
type tokens struct {
	verifier *auth.Verifier
	good     map[string]string // by who they are for
	bad      []string
}

func (ts tokens) verify(ctx context.Context, token string) (auth.Identity, error) {
	id, err := ts.verifier.Verify(ctx, token)
	switch {
	case errors.Is(err, auth.ErrRefused):
		return id, endpoint.Unauthenticated("the token is no good").Because(err)
	case err != nil:
		return id, endpoint.Unavailable("the token can't be verified now").Because(err)
	default:
		return id, nil
	}
}

func newTokens(t testing.TB, srv *natstest.Server) tokens {
	t.Helper()
	js := srv.JetStream(t)
	for _, name := range []string{auth.Bucket, "ring", "past"} {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: "KV_" + name, Subjects: []string{"$KV." + name + ".>"}, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew,
			AllowMsgTTL: true, AllowRollup: true, DenyDelete: true,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ring := auth.NewRing(js, auth.Users, auth.RingConfig{Bucket: "ring"})
	run(t, ring)
	ts := tokens{verifier: auth.NewVerifier(js, auth.Config{}), good: make(map[string]string)}
	run(t, ts.verifier)
	for name, id := range map[string]auth.Identity{
		"customer": {User: "ada"}, "operator": {User: "olga", Roles: []auth.Role{auth.Operator}}, "admin": {User: "root", Roles: []auth.Role{auth.Admin}},
	} {
		token, _, err := ring.Issue(id)
		if err != nil {
			t.Fatal(err)
		}
		ts.good[name] = token
	}
	ts.bad = forge(t, ts.good["admin"])
	past := auth.NewRing(js, auth.Users, auth.RingConfig{Bucket: "past", Now: func() time.Time { return time.Now().Add(-time.Hour) }})
	run(t, past)
	expired, _, err := past.Issue(auth.Identity{User: "root", Roles: []auth.Role{auth.Admin}})
	if err != nil {
		t.Fatal(err)
	}
	ts.bad = append(ts.bad, expired)
	return ts
}

// forge returns what can be made of a token without its key.
func forge(t testing.TB, token string) []string {
	t.Helper()
	parts := strings.Split(token, ".")
	read, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	sign := func(method jwt.SigningMethod, key any) string {
		t.Helper()
		forged := jwt.NewWithClaims(method, read.Claims)
		forged.Header["kid"] = read.Header["kid"]
		signed, err := forged.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	return []string{
		sign(jwt.SigningMethodEdDSA, secret), // of another key
		sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		sign(jwt.SigningMethodHS256, []byte("public")),
		encode(`{"alg":"none"}`) + "." + parts[1] + ".",
		encode(`{"alg":"EdDSA","kid":"user.nobody"}`) + "." + parts[1] + "." + parts[2],
		parts[0] + "." + encode(`{"iss":"user","sub":"root","roles":["admin"],"exp":9999999999}`) + "." + parts[2], // tampered
		parts[0] + "." + parts[1] + "." + parts[2][:len(parts[2])-4] + "AAAA",
		parts[0] + "." + parts[1],
		token + ".", token + "x", "x" + token, " " + token, "", "null",
	}
}

// FuzzGateway sends hostile paths, headers, bodies and tokens. Whatever comes, the answer
// is what was asked for or a problem, it is never an internal error, nothing of the
// inside is in it, and no token opens what it should not.
func FuzzGateway(f *testing.F) {
	srv, log := natstest.Start(f), &logs{}
	ts := newTokens(f, srv)
	for _, s := range []struct {
		name     string
		handlers []endpoint.Handler
	}{{"thing", new(things).handlers()}, {"note", notes(echo)}} {
		run(f, endpoint.Serve(srv.Connect(f), endpoint.ServiceConfig{Name: s.name, Version: "1.0.0", Verify: ts.verify, Concurrency: 256}, s.handlers...))
	}
	w := startGateway(f, srv, gateway.Config{Verify: ts.verify}, hasty, log)
	whole := []string{ts.good["customer"], ts.good["operator"], ts.good["admin"]}
	methods := []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "BREW"}

	for who := range len(whole) + len(ts.bad) + 2 {
		f.Add(uint8(0), "/v1/things/a", "", "", "", "", uint8(who), "")
		f.Add(uint8(0), "/v1/things-report", "", "If-Match", `"1"`, "", uint8(who), "x.y.z")
	}
	for _, seed := range []struct {
		method                   uint8
		path, query, name, value string
		body                     string
		who                      uint8
	}{
		{1, "/v1/things", "", "Idempotency-Key", "k", someThing, 0},
		{2, "/v1/things/a", "limit=1;x", "If-Match", `*`, someThing, 1},
		{3, "/v1/things/%2e%2e/", "%zz", "If-None-Match", `W/"1", "`, `{"id":"b"}`, 2},
		{4, "//v1/things/a", "id=b", "Sluice-Position", "THINGS=99999999999999999999", "", 2},
		{0, "/v1/things/a/parts/-1", "", "Sluice-Correlation-Id", strings.Repeat("x", 200), "", 0},
		{0, "/v1/things/\x00\xff", "kind=%ff", "X-Forwarded-For", "::1", "", 0},
		{0, "/openapi.json", "", "If-None-Match", "*", "", 0},
		{5, "/readyz/../v1/routes", "", "X-HTTP-Method-Override", "DELETE", "", 0},
		{1, "/v1/sessions", "", "Content-Type", "text/plain", `{"text":"x"}`, 0},
		{1, "/v1/notes/7/edit", "", "Content-Type", "application/json; charset=\"", `{"\u0069d":"8","limit":1e400}`, 0},
		{6, "*", "", "Origin", "null", "", 0},
		{8, "evil.example:443", "", "Upgrade", "websocket", "", 0},
		{0, "/v1/things-export", "limit=3", "Accept-Encoding", "gzip;q=0, *", "", 2},
		{0, "/v1/events", "subject=>", "Last-Event-ID", "ORDERS=-1", "", 0},
		{1, "/v1/things", "", "Sluice-Expected-Version", "-1", strings.Repeat("[", 20_000), 0},
	} {
		f.Add(seed.method, seed.path, seed.query, seed.name, seed.value, seed.body, seed.who, "")
	}
	f.Fuzz(func(t *testing.T, method uint8, path, query, name, value, body string, who uint8, token string) {
		req := httptest.NewRequestWithContext(t.Context(), methods[int(method)%len(methods)], "/", strings.NewReader(body))
		req.URL = &url.URL{Path: path, RawQuery: query}
		if unescaped, err := url.PathUnescape(path); err == nil {
			req.URL.Path, req.URL.RawPath = unescaped, path
		}
		req.Header.Set("Content-Type", "application/json")
		if key := http.CanonicalHeaderKey(name); key != endpoint.HeaderAuthorization {
			req.Header[key] = []string{value}
		}
		genuine := int(who) < len(whole)
		switch at := int(who) - len(whole); {
		case genuine:
			token = whole[who]
		case at < len(ts.bad):
			token = ts.bad[at]
		case at == len(ts.bad):
			token = whole[2] + token
			genuine = token == whole[2]
		}
		req.Header[endpoint.HeaderAuthorization] = []string{"Bearer " + token}
		rec := httptest.NewRecorder()
		w.gateway.ServeHTTP(rec, req)
		examine(t, req, rec, token)
		_, pattern, _ := strings.Cut(req.Pattern, " ")
		if strings.HasPrefix(path, "/v1/") && rec.Code < 400 && !genuine {
			t.Errorf("%s %s (%s): %q opens it: %d %s", req.Method, path, pattern, token, rec.Code, rec.Body)
		}
		if rec.Code < 400 && (pattern == "/v1/things-report" || pattern == "/v1/routes") && who != 2 && token != whole[2] {
			t.Errorf("%s %s: %q opens it: %d", req.Method, path, token, rec.Code)
		}
	})
}

// insides are parts of texts that are for us and not for those outside.
var insides = []string{"nats:", "goroutine ", ".go:", "panic", "$JS", "$SRV", "_INBOX", "jwt", "ed25519", "runtime", "sluice/", "json:", "jsontext", "KV_"}

func examine(t *testing.T, req *http.Request, rec *httptest.ResponseRecorder, token string) {
	t.Helper()
	body, h := rec.Body.Bytes(), rec.Header()
	if !endpoint.ValidCorrelationID(h.Get(endpoint.HeaderCorrelationID)) {
		t.Errorf("correlation id %q", h.Get(endpoint.HeaderCorrelationID))
	}
	switch {
	case rec.Code >= 500 && rec.Code != http.StatusServiceUnavailable:
		t.Errorf("%s %s: %d %s", req.Method, req.URL, rec.Code, body)
	case rec.Code == http.StatusNotModified, req.Method == http.MethodHead, h.Get("Content-Encoding") == "gzip", h.Get("Content-Type") == "application/x-ndjson":
	case rec.Code >= 400:
		var p problem
		err := json.Unmarshal(body, &p, json.MatchCaseInsensitiveNames(true))
		if err != nil || h.Get("Content-Type") != "application/problem+json" || p.Status != rec.Code || p.Code == "" || p.Detail == "" {
			t.Errorf("%s %s: %d %v %s: %v", req.Method, req.URL, rec.Code, h, body, err)
		}
		for _, inside := range insides {
			if strings.Contains(p.Detail, inside) {
				t.Errorf("%s %s: %q is in %s", req.Method, req.URL, inside, body)
			}
		}
	case !jsontext.Value(body).IsValid():
		t.Errorf("%s %s: %d %v %s", req.Method, req.URL, rec.Code, h, body)
	}
	if len(token) > 20 && strings.Contains(rec.Body.String(), token) {
		t.Errorf("%s %s: the token is in %s", req.Method, req.URL, body)
	}
}
