package auth_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/pkg/auth"
)

func TestWhoATokenSpeaksFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	users, order := newSigner(t, "user.1"), newSigner(t, "order.1")
	w.publish(t, users)
	w.publish(t, order)
	v := w.verifier(t, auth.Config{})
	plain := good("user")
	delete(plain, "roles")
	odd := good("user")
	odd["roles"] = []string{"admin", "emperor", "customer"}
	itself := good("user")
	delete(itself, "sub")
	for name, c := range map[string]struct {
		token string
		want  auth.Identity
	}{
		"a user":                               {users.token(t, good("user"), nil), auth.Identity{User: "ada", Roles: []auth.Role{auth.Operator}}},
		"a customer":                           {users.token(t, plain, nil), auth.Identity{User: "ada"}},
		"roles that are none are left out":     {users.token(t, odd, nil), auth.Identity{User: "ada", Roles: []auth.Role{auth.Admin}}},
		"the service that speaks for users":    {users.token(t, itself, nil), auth.Identity{Service: "user"}},
		"a service speaks for itself alone":    {order.token(t, good("order"), nil), auth.Identity{Service: "order"}},
		"without a type":                       {users.token(t, plain, map[string]any{"typ": nil}), auth.Identity{User: "ada"}},
		"with a key of its own along, ignored": {users.token(t, plain, map[string]any{"jku": "https://example.com", "jwk": "x"}), auth.Identity{User: "ada"}},
	} {
		for range 2 { // verified, and remembered
			id, err := v.Verify(t.Context(), c.token)
			if err != nil || id.User != c.want.User || id.Service != c.want.Service || !slices.Equal(id.Roles, c.want.Roles) {
				t.Errorf("%s: %+v, %v, want %+v", name, id, err, c.want)
			}
		}
	}
}

// TestTokensThatProveNothing holds every way in which a token is no good. Each differs
// from a good one in one thing.
func TestTokensThatProveNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	users, order, stranger := newSigner(t, "user.1"), newSigner(t, "order.1"), newSigner(t, "user.1")
	unknown := newSigner(t, "user.2")
	w.publish(t, users)
	w.publish(t, order)
	expired := newSigner(t, "user.3")
	if _, err := w.keys.Put(t.Context(), expired.id, expired.jwk(time.Now().Add(-time.Second))); err != nil {
		t.Fatal(err)
	}
	misplaced := newSigner(t, "user.4")
	if _, err := w.keys.Put(t.Context(), "user.5", misplaced.jwk(time.Now().Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	v := w.verifier(t, auth.Config{LookUps: 1000})

	claims := func(change func(jwt.MapClaims)) jwt.MapClaims {
		c := good("user")
		change(c)
		return c
	}
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	fine := users.token(t, good("user"), nil)
	part := strings.Split(fine, ".")
	encode := base64.RawURLEncoding.EncodeToString
	signed := func(method jwt.SigningMethod, key any) string {
		token := jwt.NewWithClaims(method, good("user"))
		token.Header["kid"] = users.id
		text, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	hmacWithPublic := func() string { // the oldest trick: the public key as a shared secret
		head := encode([]byte(`{"alg":"HS256","kid":"user.1","typ":"JWT"}`)) + "." + part[1]
		mac := hmac.New(sha256.New, users.public)
		mac.Write([]byte(head))
		return head + "." + encode(mac.Sum(nil))
	}
	flip := func(text string, at int) string {
		b := []byte(text)
		if b[at] == 'A' {
			b[at] = 'B'
		} else {
			b[at] = 'A'
		}
		return string(b)
	}
	signature, err := base64.RawURLEncoding.DecodeString(part[2])
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"nothing":                      "",
		"garbage":                      "garbage",
		"one part less":                part[0] + "." + part[1],
		"one part more":                fine + ".x",
		"dots":                         "..",
		"a blank around it":            " " + fine,
		"too long":                     fine + strings.Repeat("A", 9000),
		"no signature":                 part[0] + "." + part[1] + ".",
		"half a signature":             part[0] + "." + part[1] + "." + encode(signature[:32]),
		"tampered header":              encode([]byte(`{"alg":"EdDSA","kid":"order.1","typ":"JWT"}`)) + "." + part[1] + "." + part[2],
		"tampered claims":              part[0] + "." + flip(part[1], 12) + "." + part[2],
		"another's claims":             part[0] + "." + strings.Split(users.token(t, claims(func(c jwt.MapClaims) { c["sub"] = "eve" }), nil), ".")[1] + "." + part[2],
		"tampered signature":           part[0] + "." + part[1] + "." + flip(part[2], 12),
		"stray bits in the signature":  fine[:len(fine)-1] + flip(fine[len(fine)-1:], 0),
		"padded":                       fine + "==",
		"alg none":                     signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"alg none, signed":             users.token(t, good("user"), map[string]any{"alg": "none"}),
		"alg nOnE":                     users.token(t, good("user"), map[string]any{"alg": "nOnE"}),
		"alg eddsa":                    users.token(t, good("user"), map[string]any{"alg": "eddsa"}),
		"no alg":                       users.token(t, good("user"), map[string]any{"alg": nil}),
		"alg a number":                 users.token(t, good("user"), map[string]any{"alg": 1}),
		"HS256":                        signed(jwt.SigningMethodHS256, []byte("secret")),
		"HS256 with the public key":    hmacWithPublic(),
		"RS256":                        signed(jwt.SigningMethodRS256, rsaKey),
		"another type":                 users.token(t, good("user"), map[string]any{"typ": "at+jwt"}),
		"a critical header":            users.token(t, good("user"), map[string]any{"crit": []string{"exp"}}),
		"a critical header, empty":     users.token(t, good("user"), map[string]any{"crit": []string{}}),
		"an unencoded payload":         users.token(t, good("user"), map[string]any{"b64": false, "crit": []string{"b64"}}),
		"a critical header, null":      users.token(t, good("user"), map[string]any{"crit": jwt.MapClaims(nil)}),
		"no kid":                       users.token(t, good("user"), map[string]any{"kid": nil}),
		"kid a number":                 users.token(t, good("user"), map[string]any{"kid": 1}),
		"kid a path":                   users.token(t, good("user"), map[string]any{"kid": "user.../1"}),
		"kid with a wildcard":          users.token(t, good("user"), map[string]any{"kid": "user.>"}),
		"kid of another":               users.token(t, good("user"), map[string]any{"kid": order.id}),
		"kid unknown":                  unknown.token(t, good("user"), nil),
		"key of a stranger":            stranger.token(t, good("user"), nil),
		"key that has expired":         expired.token(t, good("user"), nil),
		"key under another's name":     misplaced.token(t, good("user"), map[string]any{"kid": "user.5"}),
		"issuer order, key of users":   users.token(t, claims(func(c jwt.MapClaims) { c["iss"] = "order" }), nil),
		"issuer users, key of order":   order.token(t, good("user"), nil),
		"no issuer":                    users.token(t, claims(func(c jwt.MapClaims) { delete(c, "iss") }), nil),
		"issuer a list":                users.token(t, claims(func(c jwt.MapClaims) { c["iss"] = []string{"user"} }), nil),
		"subject a number":             users.token(t, claims(func(c jwt.MapClaims) { c["sub"] = 1 }), nil),
		"subject too long":             users.token(t, claims(func(c jwt.MapClaims) { c["sub"] = strings.Repeat("a", 129) }), nil),
		"roles a text":                 users.token(t, claims(func(c jwt.MapClaims) { c["roles"] = "admin" }), nil),
		"expired":                      users.token(t, claims(func(c jwt.MapClaims) { c["iat"], c["exp"] = in(-10*time.Minute), in(-31*time.Second) }), nil),
		"no expiry":                    users.token(t, claims(func(c jwt.MapClaims) { delete(c, "exp") }), nil),
		"expiry a text":                users.token(t, claims(func(c jwt.MapClaims) { c["exp"] = "tomorrow" }), nil),
		"expiry beyond all time":       users.token(t, claims(func(c jwt.MapClaims) { c["exp"] = 1e300 }), nil),
		"good for days":                users.token(t, claims(func(c jwt.MapClaims) { c["exp"] = in(48 * time.Hour) }), nil),
		"no time of issue":             users.token(t, claims(func(c jwt.MapClaims) { delete(c, "iat") }), nil),
		"issued in the future":         users.token(t, claims(func(c jwt.MapClaims) { c["iat"] = in(2 * time.Minute) }), nil),
		"not yet valid":                users.token(t, claims(func(c jwt.MapClaims) { c["nbf"] = in(2 * time.Minute) }), nil),
		"claims null":                  part[0] + "." + encode([]byte("null")) + "." + part[2],
		"claims a list":                part[0] + "." + encode([]byte("[]")) + "." + part[2],
		"header null":                  encode([]byte("null")) + "." + part[1] + "." + part[2],
		"header a list":                encode([]byte("[]")) + "." + part[1] + "." + part[2],
		"header twice one inside":      encode([]byte(`{"alg":"EdDSA","kid":"user.1"}{}`)) + "." + part[1] + "." + part[2],
		"line breaks in the signature": part[0] + "." + part[1] + "." + part[2][:20] + "\n" + part[2][20:],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustRefuse(t, v, token)
		})
	}
	t.Run("the good one", func(t *testing.T) {
		t.Parallel()
		if id, err := v.Verify(t.Context(), fine); err != nil || id.User != "ada" {
			t.Errorf("%+v, %v", id, err)
		}
	})
	t.Run("clocks may differ", func(t *testing.T) {
		t.Parallel()
		late := users.token(t, claims(func(c jwt.MapClaims) { c["iat"], c["exp"] = in(-10*time.Minute), in(-20*time.Second) }), nil)
		early := users.token(t, claims(func(c jwt.MapClaims) { c["iat"], c["nbf"] = in(20*time.Second), in(20*time.Second) }), nil)
		for _, token := range []string{late, early} {
			if id, err := v.Verify(t.Context(), token); err != nil || id.User != "ada" {
				t.Errorf("%+v, %v", id, err)
			}
		}
	})
}

// TestRefusalsTellNothing holds that an error never repeats what a token says.
func TestRefusalsTellNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	users := newSigner(t, "user.1")
	w.publish(t, users)
	v := w.verifier(t, auth.Config{LookUps: 1000})
	const planted = "planted-secret"
	c := good("user")
	c["sub"], c["exp"] = planted, planted
	for _, token := range []string{
		planted, planted + "." + planted + "." + planted, users.token(t, c, nil),
		users.token(t, good("user"), map[string]any{"alg": planted}),
		users.token(t, good("user"), map[string]any{"kid": "user.plantedsecret"}),
	} {
		_, err := v.Verify(t.Context(), token)
		if !errors.Is(err, auth.ErrRefused) || strings.Contains(strings.ReplaceAll(err.Error(), "-", ""), "plantedsecret") {
			t.Errorf("it says %v", err)
		}
	}
}

// TestARememberedTokenExpires: what was proved once is not good for ever.
func TestARememberedTokenExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	users := newSigner(t, "user.1")
	w.publish(t, users)
	var clock clock
	v := w.verifier(t, auth.Config{Now: clock.now})
	token := users.token(t, good("user"), nil)
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	clock.advance(10*time.Minute + 29*time.Second)
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Error(err)
	}
	clock.advance(2 * time.Second)
	mustRefuse(t, v, token)
}

// TestOfManyTokensTheLastAreRemembered holds that what is remembered is bounded, and
// that what is forgotten is proved again.
func TestOfManyTokensTheLastAreRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	users := newSigner(t, "user.1")
	w.publish(t, users)
	v := w.verifier(t, auth.Config{Remember: 2})
	for range 2 {
		for _, name := range []string{"ada", "bob", "eve", "dan"} {
			c := good("user")
			c["sub"] = name
			if id, err := v.Verify(t.Context(), users.token(t, c, nil)); err != nil || id.User != name {
				t.Errorf("%+v, %v", id, err)
			}
		}
	}
}
