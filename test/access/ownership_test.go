package access_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
	"sluice/test/program"
)

// TestThePastOfAnOrderIsItsCustomers too.
func TestThePastOfAnOrderIsItsCustomers(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	ada, eve := s.scene(t), s.newcomer(t)
	id, now := ada.order.ID, time.Now().Add(time.Minute).UTC().Format(time.RFC3339Nano)
	unknown := event.NewID()
	for _, ask := range []string{`{"id":%q}`, `{"id":%q,"version":1}`, `{"id":%q,"at":"` + now + `"}`} {
		if got := must[orderapi.Order](t, s, "svc.order.get", ada.customer.session.AccessToken, fmt.Sprintf(ask, id)); got.ID != id {
			t.Errorf("%s: ada gets %+v", ask, got)
		}
		theirs, err := s.ask(t, "svc.order.get", eve.session.AccessToken, fmt.Sprintf(ask, id))
		nobodys, none := s.ask(t, "svc.order.get", eve.session.AccessToken, fmt.Sprintf(ask, unknown))
		if codeOf(err) != endpoint.CodeNotFound || err.Error() != none.Error() || string(theirs) != string(nobodys) {
			t.Errorf("%s: of another's order eve hears %v, of none %v", ask, err, none)
		}
	}
	for _, query := range []string{"", "?version=1", "?at=" + url.QueryEscape(now)} {
		if a := s.do(t, http.MethodGet, "/v1/orders/"+id+query, eve.session.AccessToken, ""); a.Status != http.StatusNotFound || strings.Contains(a.Body, ada.customer.ID) {
			t.Errorf("%s: %d %s", query, a.Status, a.Body)
		}
	}
}

// TestNobodyLearnsThatAnOrderIsThere: neither by its version, nor by a key that was
// used, nor by what changes.
func TestNobodyLearnsThatAnOrderIsThere(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	ada, eve := s.scene(t), s.newcomer(t)
	path := func(id string) string { return "/v1/orders/" + id + "/cancel" }
	for _, header := range [][]string{{}, {"If-Match", `"7"`}, {"If-Match", `"1"`}, {"Idempotency-Key", "one"}, {"Sluice-Position", "ORDERS=1"}} {
		theirs := s.do(t, http.MethodPost, path(ada.order.ID), eve.session.AccessToken, "{}", header...)
		nobodys := s.do(t, http.MethodPost, path(event.NewID()), eve.session.AccessToken, "{}", header...)
		if theirs.Status != http.StatusNotFound || nobodys.Status != http.StatusNotFound {
			t.Errorf("%v: %d %s, of none %d %s", header, theirs.Status, theirs.Body, nobodys.Status, nobodys.Body)
		}
	}
	// What ada did under a key is nothing to eve.
	key := []string{"Idempotency-Key", "two"}
	if a := s.do(t, http.MethodPost, path(ada.order.ID), ada.customer.session.AccessToken, "{}", key...); a.Status != http.StatusOK {
		t.Fatalf("ada: %d %s", a.Status, a.Body)
	}
	for _, token := range []string{eve.session.AccessToken, ""} {
		if a := s.do(t, http.MethodPost, path(ada.order.ID), token, "{}", key...); a.Status == http.StatusOK || strings.Contains(a.Body, ada.customer.ID) {
			t.Errorf("with ada's key: %d %s", a.Status, a.Body)
		}
	}
}

// TestPagesEndAtTheirOwner: the cursor of one list opens no other.
func TestPagesEndAtTheirOwner(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	ada, eve := s.newcomer(t), s.newcomer(t)
	var last orderapi.Order
	for range 3 {
		last = s.order(t, ada)
		s.order(t, eve)
	}
	var page orderapi.ListResponse
	program.Until(t, "ada's orders are listed", func() bool {
		page = must[orderapi.ListResponse](t, s, "svc.order.list", ada.session.AccessToken, fmt.Sprintf(`{"user_id":%q,"limit":1}`, ada.ID))
		return page.Next != "" && page.Items[0].ID == last.ID
	})
	body, err := s.ask(t, "svc.order.list", eve.session.AccessToken, fmt.Sprintf(`{"user_id":%q,"cursor":%q}`, eve.ID, page.Next))
	if err == nil {
		var hers orderapi.ListResponse
		if err := json.Unmarshal(body, &hers); err != nil {
			t.Fatal(err)
		}
		for _, o := range hers.Items {
			if o.UserID != eve.ID {
				t.Errorf("eve sees %+v", o)
			}
		}
	} else if codeOf(err) != endpoint.CodeInvalid {
		t.Error(err)
	}
	for _, user := range []string{ada.ID, ada.ID + ".>", "*", ">", ""} {
		if body, err := s.ask(t, "svc.order.list", eve.session.AccessToken, fmt.Sprintf(`{"user_id":%q}`, user)); err == nil {
			t.Errorf("%q: eve sees %s", user, body)
		}
	}
}

// TestRefusalsDoNotTellWhoIsThere: another user's and nobody's look the same.
func TestRefusalsDoNotTellWhoIsThere(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	ada, eve := s.newcomer(t), s.newcomer(t)
	for subject, format := range map[string]string{
		"svc.user.get": `{"id":%q}`, "svc.user.update": `{"id":%q,"username":"x"}`, "svc.user.erase": `{"id":%q}`,
		"svc.user.set-password": `{"id":%q,"current":"a","new":"bcdefghi"}`, "svc.order.list": `{"user_id":%q}`,
		"svc.order.create": strings.ReplaceAll(orderBody("USER"), `"USER"`, "%q"),
	} {
		theirs, err := s.ask(t, subject, eve.session.AccessToken, fmt.Sprintf(format, ada.ID))
		nobodys, none := s.ask(t, subject, eve.session.AccessToken, fmt.Sprintf(format, event.NewID()))
		if codeOf(err) != endpoint.CodeForbidden || err.Error() != none.Error() || string(theirs) != string(nobodys) {
			t.Errorf("%s: of ada eve hears %v, of nobody %v", subject, err, none)
		}
	}
}

// TestABareNameIsNobody: who asks is what a token proves, and no header beside it.
func TestABareNameIsNobody(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	ada := s.scene(t)
	for _, header := range []string{"Sluice-User-Id", "X-User-Id", "Ce-Userid", "Sluice-Roles", "Sluice-Service"} {
		if a := s.do(t, http.MethodGet, "/v1/orders/"+ada.order.ID, "", "", header, ada.customer.ID); a.Status != http.StatusUnauthorized {
			t.Errorf("%s over HTTP: %d %s", header, a.Status, a.Body)
		}
		_, err := endpoint.NewCaller(s.NC, endpoint.CallerConfig{}).Request(t.Context(), "svc.order.get",
			map[string][]string{header: {ada.customer.ID}}, fmt.Appendf(nil, `{"id":%q}`, ada.order.ID))
		if codeOf(err) != endpoint.CodeUnauthenticated {
			t.Errorf("%s over NATS: %v", header, err)
		}
	}
}

// TestOperatorsAndAdminsAreMadeByAdmins alone, and what they may do ends with the role.
func TestOperatorsAndAdminsAreMadeByAdmins(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	root, p := s.admin(t), s.newcomer(t)
	grant := func(token, id, roles string) error {
		_, err := s.ask(t, "svc.user.set-roles", token, fmt.Sprintf(`{"id":%q,"roles":%s}`, id, roles))
		return err
	}
	again := func(p person) person {
		p.session = must[userapi.Session](t, s, "svc.user.login", "", fmt.Sprintf(`{"refresh_token":%q}`, p.session.RefreshToken))
		return p
	}
	if err := grant(p.session.AccessToken, p.ID, `["admin"]`); codeOf(err) != endpoint.CodeForbidden {
		t.Errorf("a customer makes herself admin: %v", err)
	}
	for _, wrong := range []string{`["customer"]`, `["root"]`, `"admin"`, `["operator","operator"]`, `null`, `[1]`} {
		if err := grant(root.AccessToken, p.ID, wrong); codeOf(err) != endpoint.CodeInvalid {
			t.Errorf("roles %s: %v", wrong, err)
		}
	}
	if err := grant(root.AccessToken, p.ID, `["operator"]`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ask(t, "svc.user.list", p.session.AccessToken, `{}`); codeOf(err) != endpoint.CodeForbidden {
		t.Errorf("the token of before: %v", err)
	}
	p = again(p)
	if err := grant(p.session.AccessToken, p.ID, `["admin"]`); codeOf(err) != endpoint.CodeForbidden {
		t.Errorf("an operator makes herself admin: %v", err)
	}
	program.Until(t, "she is shown as operator", func() bool {
		u := must[userapi.User](t, s, "svc.user.get", p.session.AccessToken, fmt.Sprintf(`{"id":%q}`, p.ID))
		return len(u.Roles) == 1 && u.Roles[0] == auth.Operator
	})
	var refused *endpoint.Error
	if err := grant(root.AccessToken, s.userOf(t, root).ID, `[]`); !errors.As(err, &refused) || refused.Code != endpoint.CodeConflict {
		t.Errorf("the last admin gives up: %v", err)
	}
	if err := grant(root.AccessToken, p.ID, `[]`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ask(t, "svc.user.list", again(p).session.AccessToken, `{}`); codeOf(err) != endpoint.CodeForbidden {
		t.Errorf("she was one: %v", err)
	}
}

// userOf returns whose session it is.
func (s *system) userOf(t testing.TB, session userapi.Session) userapi.User {
	t.Helper()
	return must[userapi.User](t, s, "svc.user.get", session.AccessToken, fmt.Sprintf(`{"id":%q}`, subjectOf(t, session.AccessToken)))
}
