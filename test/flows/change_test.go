package flows_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"sluice/pkg/endpoint"
	"sluice/services/notification/notificationapi"
	"sluice/services/user/userapi"
)

func TestNamesMoveWithTheirUser(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	register := func(username, email string) answer {
		return s.do(t, http.MethodPost, "/v1/users", userBody(username, email, "correct horse battery"))
	}
	var ada, grace userapi.User
	register("ada", "ada@example.com").into(t, http.StatusCreated, &ada)
	register("grace", "grace@example.com").into(t, http.StatusCreated, &grace)
	path := "/v1/users/" + ada.ID

	p := s.do(t, http.MethodPatch, path, `{"email":"Grace@Example.com"}`).problem(t, http.StatusConflict, endpoint.CodeConflict)
	if !p.names("email") || len(p.Fields) != 1 {
		t.Errorf("the problem is about %v", p.Fields)
	}
	s.do(t, http.MethodPatch, path, `{"username":"a@b"}`).problem(t, http.StatusBadRequest, endpoint.CodeInvalid)
	s.do(t, http.MethodPatch, "/v1/users/"+strings.Repeat("0", 36), `{"username":"x"}`).problem(t, http.StatusNotFound, endpoint.CodeNotFound)

	a := s.do(t, http.MethodPatch, path, `{"email":"ada@example.org"}`)
	var changed userapi.User
	a.into(t, http.StatusOK, &changed)
	want := ada
	want.Email, want.Version = "ada@example.org", 2
	if changed != want {
		t.Errorf("changed to %+v, want %+v", changed, want)
	}
	var seen userapi.User
	if s.get(t, path, &seen, "Sluice-Position", a.header.Get("Sluice-Position")); seen != want {
		t.Errorf("reads as %+v, want %+v", seen, want)
	}
	if _, err := call(t, s, userapi.Authenticate, userapi.AuthenticateRequest{Login: "ada@example.org", Password: "correct horse battery"}); err != nil {
		t.Errorf("log in with the new address: %v", err)
	}
	if _, err := call(t, s, userapi.Authenticate, userapi.AuthenticateRequest{Login: "ada@example.com", Password: "correct horse battery"}); endpoint.CodeOf(err) != endpoint.CodeUnauthenticated {
		t.Errorf("log in with the old address: %v", err)
	}
	// Mail follows, the old address is free, and the user can have it back.
	s.newOrder(t, ada.ID)
	for _, n := range s.notified(t, ada.ID, notificationapi.StatusSent, 2) {
		if to := map[notificationapi.Kind]string{notificationapi.KindWelcome: ada.Email, notificationapi.KindOrderConfirmation: want.Email}[n.Kind]; !strings.Contains(s.mailOf(t, n.ID), to) {
			t.Errorf("the %s is not to %s", n.Kind, to)
		}
	}
	s.do(t, http.MethodPatch, "/v1/users/"+grace.ID, `{"email":"ada@example.com"}`).into(t, http.StatusOK, &grace)
	s.do(t, http.MethodPatch, path, `{"email":"ada@example.com"}`).problem(t, http.StatusConflict, endpoint.CodeConflict)
	s.do(t, http.MethodPatch, path, `{"email":"grace@example.com","username":"ADA"}`).into(t, http.StatusOK, &ada)
	if ada.Version != 3 || ada.Username != "ADA" {
		t.Errorf("changed to %+v", ada)
	}
}

func TestOfRacingChangesOneWins(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	users := make([]userapi.User, 8)
	for i := range users {
		users[i] = s.newUser(t)
	}
	answers, errs := make([]answer, len(users)), make([]error, len(users))
	var all sync.WaitGroup
	for i, u := range users {
		all.Go(func() {
			answers[i], errs[i] = s.try(t.Context(), http.MethodPatch, "/v1/users/"+u.ID, `{"username":"only"}`)
		})
	}
	all.Wait()
	won := 0
	for i, a := range answers {
		switch {
		case errs[i] != nil:
			t.Error(errs[i])
		case a.status == http.StatusOK:
			won++
		default:
			if p := a.problem(t, http.StatusConflict, endpoint.CodeConflict); !p.names("username") {
				t.Errorf("the problem is about %v", fmt.Sprint(p.Fields))
			}
		}
	}
	if won != 1 {
		t.Errorf("%d have the name", won)
	}
}
