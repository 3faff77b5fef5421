package user

import (
	"strings"
	"testing"

	"github.com/alexedwards/argon2id"

	"sluice/pkg/endpoint"
	"sluice/services/user/userapi"
)

func TestTheHashOfNobodyCostsAsMuchAsAnother(t *testing.T) {
	t.Parallel()
	params, salt, key, err := argon2id.DecodeHash(nobody)
	if err != nil {
		t.Fatal(err)
	}
	if *params != hashing || len(salt) != int(hashing.SaltLength) || len(key) != int(hashing.KeyLength) {
		t.Errorf("it is made with %+v, others with %+v", *params, hashing)
	}
}

// TestARefusedUserLeavesNoPassword: the hash is written before the user, and goes
// with it. One that was there stays as it was.
func TestARefusedUserLeavesNoPassword(t *testing.T) {
	t.Parallel()
	h := newWorld(t).start(t)
	ada, err := h.create(t.Context(), userapi.CreateRequest{Username: "ada", Email: "ada@example.com", Password: "correct horse battery"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ username, email, field string }{
		{"ADA", "other@example.com", "username"},
		{"other", "Ada@Example.com", "email"},
	} {
		_, err := h.create(t.Context(), userapi.CreateRequest{Username: c.username, Email: c.email, Password: "correct horse battery"})
		if endpoint.CodeOf(err) != endpoint.CodeConflict || !strings.Contains(err.Error(), "("+c.field+" is already taken") {
			t.Errorf("%s %s: %v", c.username, c.email, err)
		}
	}
	keys, err := h.passwords.bucket.Keys(t.Context())
	if err != nil || len(keys) != 1 || keys[0] != ada.ID {
		t.Errorf("there are passwords of %v, %v", keys, err)
	}
	if wrote, err := h.passwords.create(t.Context(), ada.ID, "another password"); wrote || err != nil {
		t.Errorf("a repeat writes the password again: %v, %v", wrote, err)
	}
	if revision, err := h.passwords.match(t.Context(), ada.ID, "correct horse battery"); revision == 0 || err != nil {
		t.Errorf("the password is lost: %v", err)
	}
}
