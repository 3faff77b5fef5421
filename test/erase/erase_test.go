package erase_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/services/notification/notificationapi"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
)

// system is one process with NATS and the gateway, and behind a fuse another with
// the services.
type system struct {
	url      string
	fuse     *fuse
	services *process
	folders  []string // of both processes
	js       jetstream.JetStream
}

func newSystem(t *testing.T) *system {
	t.Helper()
	s := &system{folders: []string{t.TempDir(), t.TempDir()}}
	first := start(t, nil, "gateway", "--data", s.folders[0])
	s.url, s.fuse = first.said(t, "HTTP"), newFuse(t, first.said(t, "NATS"))
	nc, err := nats.Connect(first.said(t, "NATS"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if s.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	s.startServices(t)
	return s
}

func (s *system) startServices(t *testing.T) {
	t.Helper()
	s.services = start(t, []string{"NATS_URL=" + s.fuse.url()}, "user", "order", "notification", "--data", s.folders[1])
}

// do makes a request and reads the answer into v, unless that is nil.
func (s *system) do(t *testing.T, method, path, body string, status int, v any) {
	t.Helper()
	if got, answer := s.try(t, method, path, body); got != status {
		t.Fatalf("%s %s: status %d, not %d: %s", method, path, got, status, answer)
	} else if v != nil {
		if err := json.Unmarshal(answer, v); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *system) try(t *testing.T, method, path, body string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, answer
}

// somebody is a user with everything that the system keeps of one.
type somebody struct {
	id, order string
	words     []string // in the names: whoever keeps a name keeps one of them
	body      string   // of the registration
}

// settle brings a user into being, lets it change its names and order something, and
// lets an outsider fail to take its address.
func (s *system) settle(t *testing.T, name string) somebody {
	t.Helper()
	u := somebody{words: []string{"qzx" + name + "first", "qzx" + name + "box", "qzx" + name + "second", "qzx" + name + "post"}}
	u.body = fmt.Sprintf(`{"username":"Zoë %s","email":"%s@example.com","password":"correct horse battery"}`, u.words[0], u.words[1])
	var user userapi.User
	s.do(t, http.MethodPost, "/v1/users", u.body, http.StatusCreated, &user)
	u.id = user.ID
	s.mailed(t, u.id, 1)
	s.do(t, http.MethodPatch, "/v1/users/"+u.id, fmt.Sprintf(`{"username":"Zoë %s","email":"%s@example.com"}`, u.words[2], u.words[3]), http.StatusOK, nil)
	var order orderapi.Order
	s.do(t, http.MethodPost, "/v1/orders", `{"user_id":"`+u.id+`","items":[{"product_id":"p-1","quantity":1,"price":{"number":"1.00","currency":"EUR"}}]}`, http.StatusCreated, &order)
	u.order = order.ID
	s.mailed(t, u.id, 2)

	letters := s.letters(t)
	_, err := s.js.Conn().Request("user.created", fmt.Appendf(nil,
		`{"specversion":"1.0","id":"%s","source":"/cli","type":"user.created","subject":"%s","data":{"user_id":"%[2]s","username":"other %[1]s","email":"%[3]s@example.com","timestamp":"2026-01-02T03:04:05Z"}}`,
		name, strings.ReplaceAll(u.id, u.id[:8], "0f0f0f0f"), u.words[3]), patience)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the outsider's event is a dead letter", func() bool { return s.letters(t) > letters })
	for _, word := range u.words {
		until(t, "names are on disk before the erasure", func() bool { return len(search(t, word, s.folders...)) > 0 })
	}
	return u
}

func (s *system) mailed(t *testing.T, user string, count int) {
	t.Helper()
	until(t, "the mails are sent", func() bool {
		var list notificationapi.ListResponse
		s.do(t, http.MethodGet, "/v1/notifications?user_id="+user, "", http.StatusOK, &list)
		return len(list.Items) == count
	})
}

func (s *system) letters(t *testing.T) uint64 {
	t.Helper()
	stream, err := s.js.Stream(t.Context(), "DEADLETTERS")
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.LastSeq
}

// wantForgotten waits until no file tells of u and checks what others then see.
func (s *system) wantForgotten(t *testing.T, u somebody) {
	t.Helper()
	for _, word := range u.words {
		var found []string
		until(t, "a name is gone", func() bool {
			found = search(t, word, s.folders...)
			if t.Context().Err() != nil {
				t.Log(found)
			}
			return len(found) == 0
		})
	}
	s.do(t, http.MethodGet, "/v1/users/"+u.id, "", http.StatusNotFound, nil)
	s.do(t, http.MethodPatch, "/v1/users/"+u.id, `{"username":"again"}`, http.StatusNotFound, nil)
	s.do(t, http.MethodDelete, "/v1/users/"+u.id, "", http.StatusOK, nil)
	var order orderapi.Order
	s.do(t, http.MethodGet, "/v1/orders/"+u.order, "", http.StatusOK, &order)
	if order.UserID != u.id {
		t.Errorf("the order is of %q", order.UserID)
	}
	s.do(t, http.MethodPost, "/v1/orders", `{"user_id":"`+u.id+`","items":[{"product_id":"p-1","quantity":1,"price":{"number":"1.00","currency":"EUR"}}]}`, http.StatusBadRequest, nil)
	bucket, err := s.js.KeyValue(t.Context(), "passwords")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Get(t.Context(), u.id); err == nil {
		t.Error("the password is there")
	}
	var again userapi.User
	s.do(t, http.MethodPost, "/v1/users", u.body, http.StatusCreated, &again)
	if again.ID == u.id {
		t.Error("the names went back to the erased user")
	}
}

// Whatever step of an erasure the services die at, after the next start nothing is
// left of the user. Before one step is after the one before it, as far as NATS knows,
// so half of the steps are cut short before and half of them after.
func TestErasureSurvivesACrashAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, when := range []moment{before, after} {
		t.Run(string(when), func(t *testing.T) {
			t.Parallel()
			s := newSystem(t)
			whole := s.settle(t, "whole"+string(when))
			s.fuse.rearm(0, when)
			s.do(t, http.MethodDelete, "/v1/users/"+whole.id, "", http.StatusOK, nil)
			s.wantForgotten(t, whole)
			steps := s.fuse.counted()
			if steps < 8 {
				t.Fatalf("an erasure deletes %d messages", steps)
			}
			first, last := 1, steps/2
			if when == after {
				first, last = max(last, 1), steps
			}
			for step := first; step <= last; step++ {
				s.crash(t, step, when)
			}
		})
	}
}

// crash erases a user, kills the services at one step of it, and starts them again.
func (s *system) crash(t *testing.T, step int, when moment) {
	t.Helper()
	u := s.settle(t, fmt.Sprintf("%s%d", when, step))
	blown := s.fuse.rearm(step, when)
	s.try(t, http.MethodDelete, "/v1/users/"+u.id, "") // the answer may get lost with the services
	select {
	case <-blown:
	case <-time.After(patience):
		t.Fatalf("step %d did not come: %d deletions", step, s.fuse.counted())
	}
	s.services.kill()
	s.fuse.set(0, when)
	s.startServices(t)
	s.wantForgotten(t, u)
}
