package flows_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"sluice/pkg/endpoint"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
	"sluice/test/program"
)

func TestOneKeyIsOneCommand(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	u := s.newUser(t)
	orders := func(t *testing.T, a program.Answer) []orderapi.Order {
		t.Helper()
		var page orderapi.ListResponse
		s.Get(t, "/v1/users/"+u.ID+"/orders?limit=1000", &page, endpoint.HeaderPosition, a.Position())
		return page.Items
	}

	t.Run("placing an order", func(t *testing.T) {
		key := []string{endpoint.HeaderIdempotencyKey, fresh("key")}
		first := s.Do(t, http.MethodPost, "/v1/orders", orderBody(u.ID, oneItem), key...)
		again := s.Do(t, http.MethodPost, "/v1/orders", orderBody(u.ID, oneItem), key...)
		same(t, first, again, http.StatusCreated)
		if n := len(orders(t, again)); n != 1 {
			t.Errorf("%d orders", n)
		}
		other := strings.Replace(oneItem, `"quantity":2`, `"quantity":3`, 1)
		s.Do(t, http.MethodPost, "/v1/orders", orderBody(u.ID, other), key...).Problem(t, http.StatusConflict, endpoint.CodeConflict)
		if n := len(orders(t, again)); n != 1 {
			t.Errorf("%d orders after the key was used for another", n)
		}
	})

	t.Run("ten at once", func(t *testing.T) {
		before := len(orders(t, program.Answer{}))
		key := []string{endpoint.HeaderIdempotencyKey, fresh("key")}
		answers := make([]program.Answer, 10)
		errs := make([]error, 10)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				answers[i], errs[i] = s.Try(t.Context(), http.MethodPost, "/v1/orders", orderBody(u.ID, oneItem), key...)
			})
		}
		all.Wait()
		for i, a := range answers {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			same(t, answers[0], a, http.StatusCreated)
		}
		if n := len(orders(t, answers[0])) - before; n != 1 {
			t.Errorf("%d new orders", n)
		}
	})

	t.Run("a step, answered as of then", func(t *testing.T) {
		o := s.newOrder(t, u.ID)
		key := []string{endpoint.HeaderIdempotencyKey, fresh("key")}
		first := s.Do(t, http.MethodPost, "/v1/orders/"+o.ID+"/confirm", `{"reason":"paid"}`, key...)
		s.step(t, o.ID, "ship")
		again := s.Do(t, http.MethodPost, "/v1/orders/"+o.ID+"/confirm", `{"reason":"paid"}`, key...)
		same(t, first, again, http.StatusOK)
		s.Do(t, http.MethodPost, "/v1/orders/"+o.ID+"/confirm", `{"reason":"not paid"}`, key...).Problem(t, http.StatusConflict, endpoint.CodeConflict)
		s.Do(t, http.MethodPost, "/v1/orders/"+o.ID+"/cancel", `{"reason":"paid"}`, key...).Problem(t, http.StatusConflict, endpoint.CodeConflict)
		s.Do(t, http.MethodPost, "/v1/orders/"+o.ID+"/confirm", nil, endpoint.HeaderIdempotencyKey, fresh("key")).Problem(t, http.StatusConflict, endpoint.CodeConflict)
	})

	t.Run("a registration, whose first password stays", func(t *testing.T) {
		name := fresh("grace")
		key := []string{endpoint.HeaderIdempotencyKey, fresh("key")}
		first := s.Do(t, http.MethodPost, "/v1/users", userBody(name, name+"@example.com", "the first password"), key...)
		again := s.Do(t, http.MethodPost, "/v1/users", userBody(name, name+"@example.com", "the second password"), key...)
		same(t, first, again, http.StatusCreated)
		s.Do(t, http.MethodPost, "/v1/users", userBody(name, name+"@example.org", "the first password"), key...).Problem(t, http.StatusConflict, endpoint.CodeConflict)
		for _, login := range []string{name, name + "@example.com", strings.ToUpper(name)} {
			got, err := call(t, s, userapi.Authenticate, userapi.AuthenticateRequest{Login: login, Password: "the first password"})
			if err != nil || got.Username != name {
				t.Errorf("the first password: %+v, %v", got, err)
			}
		}
		for _, wrong := range []userapi.AuthenticateRequest{
			{Login: name, Password: "the second password"},
			{Login: fresh("nobody"), Password: "the first password"},
		} {
			if _, err := call(t, s, userapi.Authenticate, wrong); endpoint.CodeOf(err) != endpoint.CodeUnauthenticated {
				t.Errorf("a wrong login: %v", err)
			}
		}
	})
}

// same checks that two answers are one.
func same(t *testing.T, first, again program.Answer, status int) {
	t.Helper()
	if first.Status != status || again.Status != status {
		t.Fatalf("status %d and %d, not %d: %s %s", first.Status, again.Status, status, first.Body, again.Body)
	}
	if first.Body != again.Body {
		t.Errorf("another body:\n%s\n%s", first.Body, again.Body)
	}
	for _, name := range []string{"Location", endpoint.HeaderPosition} {
		if first.Header.Get(name) != again.Header.Get(name) {
			t.Errorf("another %s: %q, %q", name, first.Header.Get(name), again.Header.Get(name))
		}
	}
}

func TestWritersReadTheirWrites(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	u := s.newUser(t)

	t.Run("what was written is there", func(t *testing.T) {
		t.Parallel()
		u := s.newUser(t)
		for range 30 {
			a := s.Do(t, http.MethodPost, "/v1/orders", orderBody(u.ID, oneItem))
			var o orderapi.Order
			a.Into(t, http.StatusCreated, &o)
			position := a.Position()
			if !regexp.MustCompile(`^ORDERS=[1-9][0-9]*$`).MatchString(position) || a.Header.Get("Location") != "/v1/orders/"+o.ID {
				t.Fatalf("position %q, location %q", position, a.Header.Get("Location"))
			}
			var page orderapi.ListResponse
			s.Get(t, "/v1/users/"+u.ID+"/orders?limit=1", &page, endpoint.HeaderPosition, position)
			if len(page.Items) != 1 || page.Items[0].ID != o.ID {
				t.Fatalf("the newest order is not the one just placed: %+v", page.Items)
			}
			position = s.step(t, o.ID, "confirm").Position()
			s.Get(t, "/v1/orders/"+o.ID, &o, endpoint.HeaderPosition, position)
			if o.Status != orderapi.StatusConfirmed {
				t.Fatalf("the order is %s", o.Status)
			}
		}
	})

	t.Run("a place far ahead is not waited for for ever", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"/v1/users/" + u.ID + "/orders", "/v1/orders/" + s.newOrder(t, u.ID).ID} {
			t.Run(path, func(t *testing.T) {
				t.Parallel()
				a := s.Do(t, http.MethodGet, path, nil, endpoint.HeaderPosition, "ORDERS=123456789")
				a.Problem(t, http.StatusServiceUnavailable, endpoint.CodeUnavailable)
				if reached := a.Position(); !regexp.MustCompile(`^ORDERS=[1-9][0-9]{0,5}$`).MatchString(reached) {
					t.Errorf("reached %q", reached)
				}
			})
		}
	})

	t.Run("pages follow each other", func(t *testing.T) {
		t.Parallel()
		reader := s.newUser(t)
		var placed []string
		position := ""
		for range 7 {
			a := s.Do(t, http.MethodPost, "/v1/orders", orderBody(reader.ID, oneItem))
			var o orderapi.Order
			a.Into(t, http.StatusCreated, &o)
			placed, position = append([]string{o.ID}, placed...), a.Position()
		}
		var listed []string
		for cursor := ""; ; {
			var page orderapi.ListResponse
			s.Get(t, fmt.Sprintf("/v1/users/%s/orders?limit=3&cursor=%s", reader.ID, cursor), &page, endpoint.HeaderPosition, position)
			for _, o := range page.Items {
				listed = append(listed, o.ID)
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if !slices.Equal(listed, placed) {
			t.Errorf("listed %v, placed %v", listed, placed)
		}
	})
}
