package auth_test

import (
	"errors"
	"strings"
	"testing"

	"sluice/pkg/auth"
)

// FuzzVerify gives a verifier what anybody may send. Nothing but the one token that was
// signed proves anything, and nothing makes it panic.
func FuzzVerify(f *testing.F) {
	w := newWorld(f)
	users := newSigner(f, "user.1")
	w.publish(f, users)
	v := w.verifier(f, auth.Config{})
	fine := users.token(f, good("user"), nil)
	part := strings.Split(fine, ".")
	for _, seed := range []string{
		"", ".", "..", fine, fine + "=", strings.ToUpper(fine), part[0] + "." + part[1] + ".", "e30.e30.e30", "bnVsbA.bnVsbA." + part[2],
		users.token(f, good("user"), map[string]any{"alg": "none"}),
		users.token(f, good("order"), map[string]any{"kid": "order.1"}),
		users.token(f, good("user"), map[string]any{"crit": []string{"x"}}),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		id, err := v.Verify(t.Context(), token)
		switch {
		case token == fine:
			if err != nil || id.User != "ada" {
				t.Errorf("the good token proves %+v, %v", id, err)
			}
		case !errors.Is(err, auth.ErrRefused) || !id.Anonymous():
			t.Errorf("%q proves %+v, %v", token, id, err)
		}
	})
}

// FuzzSignedClaims holds what a signed token may say: whatever the claims are, it is
// an identity or an error, and never another issuer's.
func FuzzSignedClaims(f *testing.F) {
	w := newWorld(f)
	order := newSigner(f, "order.1")
	w.publish(f, order)
	v := w.verifier(f, auth.Config{})
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"iss":"order"}`, `{"iss":"user","sub":"ada"}`,
		`{"iss":"order","sub":"ada","roles":["admin"],"iat":1,"exp":1e300}`, `{"iss":"order","iat":-1e300,"exp":null,"nbf":"x","aud":[1]}`,
		`{"iss":"order","iat":99999999999,"exp":99999999999}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		id, err := v.Verify(t.Context(), order.raw(payload))
		if err == nil && (id.Service != "order" || id.User != "" || id.Roles != nil) || err != nil && !id.Anonymous() {
			t.Errorf("%s proves %+v, %v", payload, id, err)
		}
	})
}
