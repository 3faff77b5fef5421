package auth_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/auth"
	"sluice/pkg/natstest"
)

const patience = 20 * time.Second

// world is a NATS server with the buckets.
type world struct {
	*natstest.Server

	js   jetstream.JetStream
	keys jetstream.KeyValue
}

func newWorld(t testing.TB) world {
	t.Helper()
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	return world{Server: srv, js: js, keys: makeBuckets(t, js)}
}

// makeBuckets makes the buckets of public and of private keys, and returns the first.
func makeBuckets(t testing.TB, js jetstream.JetStream) jetstream.KeyValue {
	t.Helper()
	for _, name := range []string{auth.Bucket, "ring"} {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: "KV_" + name, Subjects: []string{"$KV." + name + ".>"}, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew,
			AllowMsgTTL: true, AllowRollup: true, DenyDelete: true,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	keys, err := js.KeyValue(t.Context(), auth.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// verifier returns one that is started, and stopped with the test.
func (w world) verifier(t testing.TB, cfg auth.Config) *auth.Verifier {
	t.Helper()
	return startVerifier(t, auth.NewVerifier(w.js, cfg))
}

func startVerifier(t testing.TB, v *auth.Verifier) *auth.Verifier {
	t.Helper()
	if err := v.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Stop(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return v
}

// signer is a key that a test signs with, and forges.
type signer struct {
	id      string
	public  ed25519.PublicKey
	private ed25519.PrivateKey
}

func newSigner(t testing.TB, id string) signer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{id: id, public: public, private: private}
}

// jwk is the key as everybody's bucket has it, written out here by hand.
func (s signer) jwk(until time.Time) []byte {
	return fmt.Appendf(nil, `{"kty":"OKP","crv":"Ed25519","x":%q,"kid":%q,"alg":"EdDSA","use":"sig","exp":%d}`,
		base64.RawURLEncoding.EncodeToString(s.public), s.id, until.Unix())
}

// publish puts the key into the bucket, good for an hour.
func (w world) publish(t testing.TB, s signer) {
	t.Helper()
	if _, err := w.keys.Put(t.Context(), s.id, s.jwk(time.Now().Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
}

// good are the claims of a token of ada's, from issuer.
func good(issuer string) jwt.MapClaims {
	now := time.Now()
	return jwt.MapClaims{
		"iss": issuer, "sub": "ada", "roles": []string{"operator"},
		"iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	}
}

// token signs claims under header, which is completed.
func (s signer) token(t testing.TB, claims jwt.MapClaims, header map[string]any) string {
	t.Helper()
	unsigned := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	unsigned.Header["kid"] = s.id
	for name, value := range header {
		unsigned.Header[name] = value
		if value == nil {
			delete(unsigned.Header, name)
		}
	}
	text, err := unsigned.SignedString(s.private)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// until asks again and again whether done is so.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

// mustRefuse checks that a token proves nothing.
func mustRefuse(t testing.TB, v *auth.Verifier, token string) {
	t.Helper()
	id, err := v.Verify(t.Context(), token)
	if !errors.Is(err, auth.ErrRefused) || !id.Anonymous() || id.Roles != nil {
		t.Errorf("it proves %+v, %v", id, err)
	}
}

// raw signs a payload that need not be JSON.
func (s signer) raw(payload string) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode(fmt.Appendf(nil, `{"alg":"EdDSA","kid":%q,"typ":"JWT"}`, s.id)) + "." + encode([]byte(payload))
	return text + "." + encode(ed25519.Sign(s.private, []byte(text)))
}
