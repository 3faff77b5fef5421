package user

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/services/user/userapi"
)

func (h handlers) grant(t *testing.T, user string, roles ...auth.Role) error {
	t.Helper()
	u, err := h.setRoles(as(t.Context(), "root", auth.Admin), userapi.SetRolesRequest{ID: user, Roles: roles})
	if err == nil && !slices.Equal(u.Roles, roles) {
		t.Errorf("the roles are %v, want %v", u.Roles, roles)
	}
	return err
}

// TestRolesHoldFromTheNextTokenOn.
func TestRolesHoldFromTheNextTokenOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.start(t)
	ada := newcomer(t, h, "ada")
	session := h.mustLogin(t, "ada", password)
	if err := h.grant(t, newcomer(t, h, "root").ID, auth.Admin); err != nil { // so that there is another
		t.Fatal(err)
	}
	for _, roles := range [][]auth.Role{{auth.Operator}, {auth.Operator}, {auth.Admin, auth.Operator}, {auth.Admin}, {}} {
		before, err := w.verifier.Verify(t.Context(), session.AccessToken)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(roles)
		if err := h.grant(t, ada.ID, roles...); err != nil {
			t.Fatal(err)
		}
		if after, err := w.verifier.Verify(t.Context(), session.AccessToken); err != nil || !slices.Equal(before.Roles, after.Roles) {
			t.Errorf("a token changes: %v to %v, %v", before.Roles, after.Roles, err)
		}
		if session, err = w.start(t).goOn(t.Context(), session.RefreshToken); err != nil {
			t.Fatal(err)
		}
		if id, err := w.verifier.Verify(t.Context(), session.AccessToken); err != nil || !slices.Equal(id.Roles, roles) {
			t.Errorf("the next token has %v, %v, want %v", id.Roles, err, roles)
		}
	}
}

// TestRolesOfNobody: neither those who are not there nor roles that are none.
func TestRolesOfNobody(t *testing.T) {
	t.Parallel()
	h := newWorld(t).start(t)
	mustCode(t, "nobody", h.grant(t, "5f0c9f0e-0000-8000-8000-000000000000", auth.Admin), endpoint.CodeNotFound)
	ada := newcomer(t, h, "ada")
	mustCode(t, "no role", h.grant(t, ada.ID, "emperor"), endpoint.CodeInvalid)
	mustCode(t, "no role of its own", h.grant(t, ada.ID, auth.Customer), endpoint.CodeInvalid)
	if record, _, err := h.admins.read(t.Context()); err != nil || len(record.Users) > 0 {
		t.Errorf("admins are %v, %v", record.Users, err)
	}
}

func TestTheLastAdminStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.start(t)
	ada, eve := newcomer(t, h, "ada"), newcomer(t, h, "eve")
	erase := func(id string) error {
		_, err := h.erase(as(t.Context(), id), userapi.EraseRequest{ID: id})
		return err
	}
	mustCode(t, "the first", h.grant(t, ada.ID, auth.Admin), "")
	mustCode(t, "the last", h.grant(t, ada.ID), endpoint.CodeConflict)
	mustCode(t, "the last, to operator", h.grant(t, ada.ID, auth.Operator), endpoint.CodeConflict)
	mustCode(t, "the end of the last", erase(ada.ID), endpoint.CodeConflict)
	mustCode(t, "a second", h.grant(t, eve.ID, auth.Admin), "")
	mustCode(t, "one of two", h.grant(t, ada.ID), "")
	mustCode(t, "the last again", h.grant(t, eve.ID), endpoint.CodeConflict)
	mustCode(t, "back", h.grant(t, ada.ID, auth.Admin), "")
	mustCode(t, "the end of one of two", erase(eve.ID), "")
	mustCode(t, "the end of the last", erase(ada.ID), endpoint.CodeConflict)
	// One who is on the list and no admin, after a crash at the wrong moment, does not count.
	if err := h.admins.add(t.Context(), eve.ID); err != nil {
		t.Fatal(err)
	}
	mustCode(t, "the last but a ghost", h.grant(t, ada.ID), endpoint.CodeConflict)
	if u, err := h.present(t.Context(), ada.ID); err != nil || !isAdmin(u.Roles) {
		t.Errorf("ada has %v, %v", u.Roles, err)
	}
}

// TestTheLastTwoAdminsLeaveAtOnce: one of them stays.
func TestTheLastTwoAdminsLeaveAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.start(t)
	const admins = 6
	var ids []string
	for i := range admins {
		u := newcomer(t, h, string(rune('a'+i))+"dmin")
		if err := h.grant(t, u.ID, auth.Admin); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, u.ID)
	}
	var (
		all    sync.WaitGroup
		stayed atomic.Int64
	)
	for i, id := range ids {
		replica := w.start(t)
		all.Go(func() {
			var err error
			if i%2 == 0 {
				err = replica.grant(t, id)
			} else {
				_, err = replica.erase(as(t.Context(), id), userapi.EraseRequest{ID: id})
			}
			if endpoint.CodeOf(err) == endpoint.CodeConflict {
				stayed.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	left := 0
	for _, id := range ids {
		if is, err := w.start(t).isAdmin(t.Context(), id); err != nil {
			t.Error(err)
		} else if is {
			left++
		}
	}
	if left < 1 || int64(left) != stayed.Load() {
		t.Errorf("%d admins are left, %d were refused", left, stayed.Load())
	}
}
