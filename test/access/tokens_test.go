package access_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/pkg/auth"
	"sluice/streams"
)

// forger has a key that the system takes for one of the user service's: a test can do
// what nobody else may, write into the bucket of public keys.
type forger struct {
	id      string
	private ed25519.PrivateKey
}

func (s *system) forger(t testing.TB) forger {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := forger{id: "user.f0f0", private: private}
	keys, err := s.JS.KeyValue(t.Context(), streams.BucketKeys)
	if err != nil {
		t.Fatal(err)
	}
	_, err = keys.PutString(t.Context(), f.id, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q,"kid":%q,"alg":"EdDSA","use":"sig","exp":%d}`,
		base64.RawURLEncoding.EncodeToString(public), f.id, time.Now().Add(time.Hour).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// admin returns an admin's token that is good for so long from now.
func (f forger) admin(t testing.TB, user string, good time.Duration) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": auth.Users, "sub": user, "roles": []string{"admin"},
		"iat": time.Now().Add(good - 10*time.Minute).Unix(), "exp": time.Now().Add(good).Unix(),
	})
	token.Header["kid"] = f.id
	text, err := token.SignedString(f.private)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// tampered returns token with another signature.
func tampered(token string) string {
	b := []byte(token)
	at := len(b) * 9 / 10
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return string(b)
}
