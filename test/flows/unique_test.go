package flows_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"sluice/pkg/endpoint"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
	"sluice/test/program"
)

func TestNamesBelongToOneUser(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.Do(t, http.MethodPost, "/v1/users", userBody("ada", "ada@example.com", "correct horse battery")).Into(t, http.StatusCreated, &userapi.User{})
	for _, x := range []struct{ name, username, email, field string }{
		{"same username", "ada", "other@example.com", "username"},
		{"other case", "ADA", "other@example.com", "username"},
		{"full-width letters", "ａｄａ", "other@example.com", "username"},
		{"full-width capitals", "ＡＤＡ", "other@example.com", "username"},
		{"same e-mail", "grace", "ada@example.com", "email"},
		{"e-mail in other case", "grace", "Ada@EXAMPLE.com", "email"},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := s.Do(t, http.MethodPost, "/v1/users", userBody(x.username, x.email, "correct horse battery")).Problem(t, http.StatusConflict, endpoint.CodeConflict)
			if !p.Names(x.field) || len(p.Fields) != 1 {
				t.Errorf("the problem is about %v, not %s", p.Fields, x.field)
			}
		})
	}
	t.Run("a refused registration claims nothing", func(t *testing.T) {
		s.Do(t, http.MethodPost, "/v1/users", userBody("grace", "grace@example.com", "correct horse battery")).Into(t, http.StatusCreated, &userapi.User{})
		s.Do(t, http.MethodPost, "/v1/users", userBody("other", "other@example.com", "correct horse battery")).Into(t, http.StatusCreated, &userapi.User{})
	})
}

func TestOfRacingRegistrationsOneWins(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for _, x := range []struct {
		field string
		count int
		body  func(round string, i int) string
	}{
		{"email", 2, func(round string, i int) string {
			return userBody(fmt.Sprintf("%s-%d", round, i), round+"@example.com", "correct horse battery")
		}},
		{"email", 10, func(round string, i int) string {
			return userBody(fmt.Sprintf("%s-%d", round, i), round+"@example.com", "correct horse battery")
		}},
		{"username", 10, func(round string, i int) string {
			return userBody(round, fmt.Sprintf("%s-%d@example.com", round, i), "correct horse battery")
		}},
	} {
		t.Run(fmt.Sprintf("%d for one %s", x.count, x.field), func(t *testing.T) {
			round := fresh("race")
			answers := make([]program.Answer, x.count)
			errs := make([]error, x.count)
			var all sync.WaitGroup
			for i := range answers {
				all.Go(func() {
					answers[i], errs[i] = s.Try(t.Context(), http.MethodPost, "/v1/users", x.body(round, i))
				})
			}
			all.Wait()
			won := 0
			for i, a := range answers {
				switch {
				case errs[i] != nil:
					t.Fatal(errs[i])
				case a.Status == http.StatusCreated:
					won++
				case !a.Problem(t, http.StatusConflict, endpoint.CodeConflict).Names(x.field):
					t.Errorf("the problem does not name %s: %s", x.field, a.Body)
				}
			}
			if won != 1 {
				t.Errorf("%d registrations succeeded", won)
			}
		})
	}
}

// life says how an order gets to each status, and which steps may follow.
var life = map[orderapi.Status]struct {
	steps []string
	next  map[string]orderapi.Status
}{
	orderapi.StatusPending:   {nil, map[string]orderapi.Status{"confirm": orderapi.StatusConfirmed, "cancel": orderapi.StatusCancelled}},
	orderapi.StatusConfirmed: {[]string{"confirm"}, map[string]orderapi.Status{"ship": orderapi.StatusShipped, "cancel": orderapi.StatusCancelled}},
	orderapi.StatusShipped:   {[]string{"confirm", "ship"}, map[string]orderapi.Status{"deliver": orderapi.StatusDelivered}},
	orderapi.StatusDelivered: {[]string{"confirm", "ship", "deliver"}, nil},
	orderapi.StatusCancelled: {[]string{"cancel"}, nil},
}

func TestOnlyLegalStepsHappen(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	u := s.newUser(t)
	targets := map[string]orderapi.Status{
		"confirm": orderapi.StatusConfirmed, "ship": orderapi.StatusShipped,
		"deliver": orderapi.StatusDelivered, "cancel": orderapi.StatusCancelled,
	}
	for from, at := range life {
		for step, to := range targets {
			t.Run(fmt.Sprintf("%s an order that is %s", step, from), func(t *testing.T) {
				t.Parallel()
				o := s.newOrder(t, u.ID)
				for _, earlier := range at.steps {
					s.step(t, o.ID, earlier)
				}
				version := uint64(1 + len(at.steps))
				a := s.Do(t, http.MethodPost, "/v1/orders/"+o.ID+"/"+step, `{"reason":"because"}`)
				if wanted, legal := at.next[step]; legal {
					a.Into(t, http.StatusOK, &o)
					if o.Status != wanted || o.Version != version+1 {
						t.Errorf("the order is %s at version %d", o.Status, o.Version)
					}
					return
				}
				p := a.Problem(t, http.StatusConflict, endpoint.CodeConflict)
				if !strings.Contains(p.Detail, string(from)) || !strings.Contains(p.Detail, string(to)) || !p.Names("status") {
					t.Errorf("the problem does not name %s and %s: %+v", from, to, p)
				}
				var history orderapi.HistoryResponse
				s.Get(t, "/v1/orders/"+o.ID+"/history", &history)
				if len(history.Items) != int(version) {
					t.Errorf("%d events instead of %d", len(history.Items), version)
				}
			})
		}
	}
}
