package auth_test

import (
	"testing"

	"sluice/pkg/auth"
)

// BenchmarkVerify of a token that was proved before, which is nearly every one.
func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	users := newSigner(b, "user.1")
	w.publish(b, users)
	v := w.verifier(b, auth.Config{})
	token := users.token(b, good("user"), nil)
	for b.Loop() {
		if _, err := v.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}
