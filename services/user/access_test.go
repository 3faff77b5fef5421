package user

import (
	"testing"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/services/user/userapi"
)

// TestUsersSeeAndChangeThemselves, and nobody learns who else is there.
func TestUsersSeeAndChangeThemselves(t *testing.T) {
	t.Parallel()
	h := newWorld(t).start(t)
	ada := newcomer(t, h, "ada")
	newcomer(t, h, "eve")
	const unknown = "5f0c9f0e-0000-8000-8000-000000000000"
	const ok, no, none = endpoint.Code(""), endpoint.CodeForbidden, endpoint.CodeNotFound
	for name, c := range map[string]struct {
		id                      auth.Identity
		see, change             endpoint.Code
		seeUnknown, eraseNobody endpoint.Code
	}{
		"nobody":     {auth.Identity{}, no, no, no, no},
		"another":    {auth.Identity{User: "eve"}, no, no, no, no},
		"an upstart": {auth.Identity{User: "eve", Roles: []auth.Role{"emperor"}}, no, no, no, no},
		"operator":   {auth.Identity{User: "eve", Roles: []auth.Role{auth.Operator}}, ok, no, none, no},
		"admin":      {auth.Identity{User: "eve", Roles: []auth.Role{auth.Admin}}, ok, ok, none, none},
		"a service":  {auth.Identity{Service: "order"}, ok, no, none, no},
		"herself":    {auth.Identity{User: ada.ID}, ok, ok, no, no},
	} {
		ctx := auth.With(t.Context(), c.id, "")
		if c.see == no { // what may be seen is read from a model that does not run here
			_, err := h.get(ctx, userapi.GetRequest{ID: ada.ID})
			mustCode(t, name+" sees ada", err, no)
			_, err = h.get(ctx, userapi.GetRequest{ID: unknown})
			mustCode(t, name+" sees nobody", err, c.seeUnknown)
		} else {
			mustCode(t, name+" sees ada", maySee(ctx, ada.ID), ok)
		}
		_, err := h.update(ctx, userapi.UpdateRequest{ID: ada.ID, Username: "ada"})
		mustCode(t, name+" changes ada", err, c.change)
		_, err = h.erase(ctx, userapi.EraseRequest{ID: unknown})
		mustCode(t, name+" erases nobody", err, c.eraseNobody)
	}
}
