package erase_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/natstest"
	"sluice/services/notification/notificationapi"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
	"sluice/test/program"
)

// system is one process with NATS and the gateway, and behind a fuse another with
// the services.
type system struct {
	program.Client

	fuse     *fuse
	services *program.Process
	folders  []string // of both processes
	js       jetstream.JetStream
}

func newSystem(t *testing.T) *system {
	t.Helper()
	s := &system{folders: []string{t.TempDir(), t.TempDir()}}
	first := binary.Start(t, nil, "gateway", "--data", s.folders[0])
	s.fuse = newFuse(t, first.Said(t, "NATS"))
	s.js = natstest.JetStream(t, natstest.Dial(t, first.Said(t, "NATS")))
	s.startServices(t)
	s.Client = first.Client(t)
	return s
}

func (s *system) startServices(t *testing.T) {
	t.Helper()
	s.services = binary.Start(t, []string{"NATS_URL=" + s.fuse.url()}, "user", "order", "notification", "--data", s.folders[1])
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
	s.Do(t, http.MethodPost, "/v1/users", u.body).Into(t, http.StatusCreated, &user)
	u.id = user.ID
	s.mailed(t, u.id, 1)
	s.Do(t, http.MethodPatch, "/v1/users/"+u.id, fmt.Sprintf(`{"username":"Zoë %s","email":"%s@example.com"}`, u.words[2], u.words[3])).Want(t, http.StatusOK)
	var order orderapi.Order
	s.Do(t, http.MethodPost, "/v1/orders", `{"user_id":"`+u.id+`","items":[{"product_id":"p-1","quantity":1,"price":{"number":"1.00","currency":"EUR"}}]}`).Into(t, http.StatusCreated, &order)
	u.order = order.ID
	s.mailed(t, u.id, 2)

	letters := s.letters(t)
	_, err := s.js.Conn().Request("user.created", fmt.Appendf(nil,
		`{"specversion":"1.0","id":"%s","source":"/cli","type":"user.created","subject":"%s","data":{"user_id":"%[2]s","username":"other %[1]s","email":"%[3]s@example.com","timestamp":"2026-01-02T03:04:05Z"}}`,
		name, strings.ReplaceAll(u.id, u.id[:8], "0f0f0f0f"), u.words[3]), program.Patience)
	if err != nil {
		t.Fatal(err)
	}
	program.Until(t, "the outsider's event is a dead letter", func() bool { return s.letters(t) > letters })
	for _, word := range u.words {
		program.Until(t, "names are on disk before the erasure", func() bool { return len(search(t, word, s.folders...)) > 0 })
	}
	return u
}

func (s *system) mailed(t *testing.T, user string, count int) {
	t.Helper()
	program.Until(t, "the mails are sent", func() bool {
		var list notificationapi.ListResponse
		s.Get(t, "/v1/notifications?user_id="+user, &list)
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
		program.Until(t, "a name is gone", func() bool {
			found = search(t, word, s.folders...)
			if t.Context().Err() != nil {
				t.Log(found)
			}
			return len(found) == 0
		})
	}
	s.Do(t, http.MethodGet, "/v1/users/"+u.id, nil).Want(t, http.StatusNotFound)
	s.Do(t, http.MethodPatch, "/v1/users/"+u.id, `{"username":"again"}`).Want(t, http.StatusNotFound)
	s.Do(t, http.MethodDelete, "/v1/users/"+u.id, nil).Want(t, http.StatusOK)
	var order orderapi.Order
	s.Get(t, "/v1/orders/"+u.order, &order)
	if order.UserID != u.id {
		t.Errorf("the order is of %q", order.UserID)
	}
	s.Do(t, http.MethodPost, "/v1/orders", `{"user_id":"`+u.id+`","items":[{"product_id":"p-1","quantity":1,"price":{"number":"1.00","currency":"EUR"}}]}`).Want(t, http.StatusBadRequest)
	bucket, err := s.js.KeyValue(t.Context(), "passwords")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Get(t.Context(), u.id); err == nil {
		t.Error("the password is there")
	}
	var again userapi.User
	s.Do(t, http.MethodPost, "/v1/users", u.body).Into(t, http.StatusCreated, &again)
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
			s.Do(t, http.MethodDelete, "/v1/users/"+whole.id, nil).Want(t, http.StatusOK)
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
	s.Do(t, http.MethodDelete, "/v1/users/"+u.id, nil) // the answer may get lost with the services
	select {
	case <-blown:
	case <-time.After(program.Patience):
		t.Fatalf("step %d did not come: %d deletions", step, s.fuse.counted())
	}
	s.services.Kill()
	s.fuse.set(0, when)
	s.startServices(t)
	s.wantForgotten(t, u)
}
