package flows_test

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"sluice/pkg/endpoint"
	"sluice/services/notification/notificationapi"
	"sluice/services/user/userapi"
	"sluice/test/program"
)

func TestNamesMoveWithTheirUser(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	register := func(username, email string) program.Answer {
		return s.Do(t, http.MethodPost, "/v1/users", userBody(username, email, "correct horse battery"))
	}
	var ada, grace userapi.User
	register("ada", "ada@example.com").Into(t, http.StatusCreated, &ada)
	register("grace", "grace@example.com").Into(t, http.StatusCreated, &grace)
	path := "/v1/users/" + ada.ID

	p := s.Do(t, http.MethodPatch, path, `{"email":"Grace@Example.com"}`).Problem(t, http.StatusConflict, endpoint.CodeConflict)
	if !p.Names("email") || len(p.Fields) != 1 {
		t.Errorf("the problem is about %v", p.Fields)
	}
	s.Do(t, http.MethodPatch, path, `{"username":"a@b"}`).Problem(t, http.StatusBadRequest, endpoint.CodeInvalid)
	s.Do(t, http.MethodPatch, "/v1/users/"+strings.Repeat("0", 36), `{"username":"x"}`).Problem(t, http.StatusNotFound, endpoint.CodeNotFound)

	a := s.Do(t, http.MethodPatch, path, `{"email":"ada@example.org"}`)
	var changed userapi.User
	a.Into(t, http.StatusOK, &changed)
	want := ada
	want.Email, want.Version = "ada@example.org", 2
	if !reflect.DeepEqual(changed, want) {
		t.Errorf("changed to %+v, want %+v", changed, want)
	}
	var seen userapi.User
	if s.Get(t, path, &seen, endpoint.HeaderPosition, a.Position()); !reflect.DeepEqual(seen, want) {
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
	s.Do(t, http.MethodPatch, "/v1/users/"+grace.ID, `{"email":"ada@example.com"}`).Into(t, http.StatusOK, &grace)
	s.Do(t, http.MethodPatch, path, `{"email":"ada@example.com"}`).Problem(t, http.StatusConflict, endpoint.CodeConflict)
	s.Do(t, http.MethodPatch, path, `{"email":"grace@example.com","username":"ADA"}`).Into(t, http.StatusOK, &ada)
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
	answers, errs := make([]program.Answer, len(users)), make([]error, len(users))
	var all sync.WaitGroup
	for i, u := range users {
		all.Go(func() {
			answers[i], errs[i] = s.Try(t.Context(), http.MethodPatch, "/v1/users/"+u.ID, `{"username":"only"}`)
		})
	}
	all.Wait()
	won := 0
	for i, a := range answers {
		switch {
		case errs[i] != nil:
			t.Error(errs[i])
		case a.Status == http.StatusOK:
			won++
		default:
			if p := a.Problem(t, http.StatusConflict, endpoint.CodeConflict); !p.Names("username") {
				t.Errorf("the problem is about %v", fmt.Sprint(p.Fields))
			}
		}
	}
	if won != 1 {
		t.Errorf("%d have the name", won)
	}
}
