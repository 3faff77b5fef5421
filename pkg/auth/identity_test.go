package auth_test

import (
	"testing"

	"sluice/pkg/auth"
)

func TestWhatAnIdentityMayDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		id                                 auth.Identity
		customer, operator, admin, ownsAda bool
	}{
		"nobody":               {id: auth.Identity{}},
		"nobody with a role":   {id: auth.Identity{Roles: []auth.Role{auth.Admin}}},
		"ada":                  {id: auth.Identity{User: "ada"}, customer: true, ownsAda: true},
		"another":              {id: auth.Identity{User: "eve"}, customer: true},
		"an operator":          {id: auth.Identity{User: "eve", Roles: []auth.Role{auth.Operator}}, customer: true, operator: true, ownsAda: true},
		"an admin":             {id: auth.Identity{User: "eve", Roles: []auth.Role{auth.Admin}}, customer: true, operator: true, admin: true, ownsAda: true},
		"a service":            {id: auth.Identity{Service: "order"}, customer: true, operator: true, ownsAda: true},
		"a service with roles": {id: auth.Identity{Service: "order", Roles: []auth.Role{auth.Admin}}, customer: true, operator: true, ownsAda: true},
		"a user with no role":  {id: auth.Identity{User: "eve", Roles: []auth.Role{"emperor"}}, customer: true},
	} {
		got := [...]bool{c.id.Is(auth.Customer), c.id.Is(auth.Operator), c.id.Is(auth.Admin), c.id.Owns("ada"), c.id.Is("emperor"), c.id.Anonymous()}
		want := [...]bool{c.customer, c.operator, c.admin, c.ownsAda, false, !c.customer}
		if got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if (auth.Identity{}).Owns("") {
		t.Error("nobody owns what belongs to nobody")
	}
}

func TestIdentitiesInAContext(t *testing.T) {
	t.Parallel()
	if id := auth.From(t.Context()); !id.Anonymous() || auth.TokenFrom(t.Context()) != "" || auth.Asked(t.Context()) {
		t.Errorf("%+v asks in an empty context", id)
	}
	ctx := auth.With(t.Context(), auth.Identity{User: "ada"}, "token")
	if id := auth.From(ctx); id.User != "ada" || auth.TokenFrom(ctx) != "token" || !auth.Asked(ctx) {
		t.Errorf("%+v asks", id)
	}
	ctx = auth.With(ctx, auth.Identity{}, "")
	if !auth.From(ctx).Anonymous() || auth.TokenFrom(ctx) != "" || !auth.Asked(ctx) {
		t.Error("nobody asks as somebody")
	}
}
