package userapi_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sluice/services/user/userapi"
)

func TestCheckNames(t *testing.T) {
	t.Parallel()
	const name, address = "ada", "ada@example.com"
	for _, c := range []struct {
		name, username, email string
		field                 string // what is wrong, empty for nothing
	}{
		{"plain", name, address, ""},
		{"letters of the world", "Zoë 愛 Ωmega", "user+tag@sub.example.co.uk", ""},
		{"longest name", strings.Repeat("ü", 64), address, ""},
		{"no name", "", address, "username"},
		{"blank name", "  ", address, "username"},
		{"long name", strings.Repeat("ü", 65), address, "username"},
		{"blank at an end", "ada ", address, "username"},
		{"wide blank at an end", "\u3000ada", address, "username"},
		{"line break", "ada\r\nBcc: eve@example.com", address, "username"},
		{"at", "ada@home", address, "username"},
		{"zero width", "ad\u200ba", address, "username"},
		{"right to left override", "ad\u202ea", address, "username"},
		{"no address", name, "", "email"},
		{"not an address", name, "ada", "email"},
		{"no domain", name, "ada@", "email"},
		{"two addresses", name, "ada@example.com, eve@example.com", "email"},
		{"address with a name", name, "Ada <ada@example.com>", "email"},
		{"blank before", name, " ada@example.com", "email"},
		{"line break in the address", name, "ada@example.com\r\nBcc: eve@example.com", "email"},
		{"quoted", name, `"ada b"@example.com`, "email"},
		{"long address", name, strings.Repeat("a", 250) + "@example.com", "email"},
		{"zero width in the address", name, "ada\u200b@example.com", "email"},
		{"both", "", "", "username email"},
	} {
		wrong := userapi.CheckNames(c.username, c.email)
		fields := make([]string, len(wrong))
		for i, w := range wrong {
			fields[i] = w.Field
			if c.username != "" && strings.Contains(w.Message, c.username) || c.email != "" && strings.Contains(w.Message, c.email) {
				t.Errorf("%s: the message repeats the value: %q", c.name, w.Message)
			}
		}
		if got := strings.Join(fields, " "); got != c.field {
			t.Errorf("%s: %q is wrong, want %q (%v)", c.name, got, c.field, wrong)
		}
	}
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"ada", "Ada", "ADA", "ａｄａ", "\uff21da"},
		{"zoë", "Zoë", "zoe\u0308", "ZOE\u0308"},
		{"straße", "STRASSE", "Straße"},
		{"σίσυφος", "ΣΊΣΥΦΟΣ"},
		{"ﬁnn", "finn", "FINN"},
		{"Ꭰ", "ꭰ"},
		{"Ada@Example.COM", "ada@example.com"},
	} {
		for _, name := range same[1:] {
			if userapi.Normalize(name) != userapi.Normalize(same[0]) {
				t.Errorf("%q and %q are two names", name, same[0])
			}
		}
	}
	for _, pair := range [][2]string{{"ada", "adam"}, {"ada", "аda"}, {"o", "ö"}} { // the second has a Cyrillic а
		if userapi.Normalize(pair[0]) == userapi.Normalize(pair[1]) {
			t.Errorf("%q and %q are one name", pair[0], pair[1])
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		once := userapi.Normalize(name)
		if twice := userapi.Normalize(once); twice != once {
			t.Fatalf("%q becomes %q and then %q", name, once, twice)
		}
	})
}

func TestRequestsHideThePassword(t *testing.T) {
	t.Parallel()
	create, ok := userapi.CreateRequest{Username: "ada", Password: "secret"}.Redact().(userapi.CreateRequest)
	if !ok || create.Password != "" || create.Username != "ada" {
		t.Errorf("create is shown as %+v", create)
	}
	login, ok := userapi.AuthenticateRequest{Login: "ada", Password: "secret"}.Redact().(userapi.AuthenticateRequest)
	if !ok || login.Password != "" || login.Login != "ada" {
		t.Errorf("authenticate is shown as %+v", login)
	}
}
