package flows_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/notification/notificationapi"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
	"sluice/streams"
	"sluice/test/program"
)

// fresh returns a name that nobody else has.
func fresh(prefix string) string {
	return prefix + "-" + event.NewID()[24:] + "-" + event.NewID()[14:18]
}

func userBody(username, email, password string) string {
	b, err := json.Marshal(map[string]string{"username": username, "email": email, "password": password}, json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// newUser has somebody register, whom nobody knows yet.
func (s *system) newUser(t testing.TB) userapi.User {
	t.Helper()
	name := fresh("ada")
	var u userapi.User
	s.As("").Do(t, http.MethodPost, "/v1/users", userBody(name, name+"@example.com", "correct horse battery")).Into(t, http.StatusCreated, &u)
	return u
}

const oneItem = `[{"product_id":"p-1","quantity":2,"price":{"number":"19.99","currency":"EUR"}}]`

func orderBody(userID, items string) string {
	return fmt.Sprintf(`{"user_id":%q,"items":%s}`, userID, items)
}

// newOrder places an order of 39.98 EUR.
func (s *system) newOrder(t testing.TB, userID string) orderapi.Order {
	t.Helper()
	var o orderapi.Order
	s.Do(t, http.MethodPost, "/v1/orders", orderBody(userID, oneItem)).Into(t, http.StatusCreated, &o)
	return o
}

// step moves an order on, which must succeed.
func (s *system) step(t testing.TB, id, step string) program.Answer {
	t.Helper()
	return s.Do(t, http.MethodPost, "/v1/orders/"+id+"/"+step, nil).Want(t, http.StatusOK)
}

// notified waits until a user has as many notifications of a status.
func (s *system) notified(t testing.TB, userID string, status notificationapi.Status, count int) []notificationapi.Notification {
	t.Helper()
	var found []notificationapi.Notification
	program.Until(t, fmt.Sprintf("%d notifications are %s", count, status), func() bool {
		found = nil
		var page notificationapi.ListResponse
		s.Get(t, "/v1/notifications?user_id="+userID, &page)
		for _, n := range page.Items {
			if n.Status == status {
				found = append(found, n)
			}
		}
		return len(found) >= count
	})
	if len(found) > count {
		t.Fatalf("%d notifications instead of %d: %v", len(found), count, found)
	}
	return found
}

// mailOf returns the mail of a notification.
func (s *system) mailOf(t testing.TB, notificationID string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.Data, "mail", notificationID+".eml"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

// wholeFlow proves that everything is alive: a user, an order, every step, the mails.
func (s *system) wholeFlow(t testing.TB) {
	t.Helper()
	u := s.newUser(t)
	o := s.newOrder(t, u.ID)
	for _, step := range []string{"confirm", "ship", "deliver"} {
		s.step(t, o.ID, step)
	}
	for _, n := range s.notified(t, u.ID, notificationapi.StatusSent, 2) {
		if mail := s.mailOf(t, n.ID); !strings.Contains(mail, u.Email) {
			t.Errorf("mail of %s does not go to the user", n.Kind)
		}
	}
	for _, service := range []string{"user", "order", "notification"} {
		program.Until(t, service+" is well", func() bool {
			m, err := s.NC.Request("svc."+service+".health", nil, program.Patience)
			return err == nil && strings.Contains(string(m.Data), `"status":"ok"`)
		})
	}
}

// stored returns every message of a stream, oldest first.
func (s *system) stored(t testing.TB, stream string) []*jetstream.RawStreamMsg {
	t.Helper()
	str, err := s.JS.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	state := str.CachedInfo().State
	var all []*jetstream.RawStreamMsg
	for sequence := max(state.FirstSeq, 1); sequence <= state.LastSeq; sequence++ {
		m, err := str.GetMsg(t.Context(), sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// on returns the messages with one subject.
func (s *system) on(t testing.TB, stream, subject string) []*jetstream.RawStreamMsg {
	t.Helper()
	var found []*jetstream.RawStreamMsg
	for _, m := range s.stored(t, stream) {
		if m.Subject == subject {
			found = append(found, m)
		}
	}
	return found
}

// letters returns all dead letters.
func (s *system) letters(t testing.TB) []bus.DeadLetter {
	t.Helper()
	messages := s.stored(t, streams.DeadLetters)
	letters := make([]bus.DeadLetter, len(messages))
	for i, m := range messages {
		var err error
		if letters[i], err = bus.ParseDeadLetter(m.Header, m.Data); err != nil {
			t.Fatalf("dead letter %d: %v", m.Sequence, err)
		}
	}
	return letters
}

// publish sends a message as `nats pub` would and returns where a stream stored it;
// 0 when it did not.
func (s *system) publish(t testing.TB, m *nats.Msg) (stream string, sequence uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), program.Patience)
	defer cancel()
	reply, err := s.NC.RequestMsgWithContext(ctx, m)
	if err != nil {
		t.Fatalf("publish on %s: %v", m.Subject, err)
	}
	return acknowledged(t, reply.Data)
}

// acknowledged reads what JetStream answers to a publisher.
func acknowledged(t testing.TB, reply []byte) (stream string, sequence uint64) {
	t.Helper()
	if len(reply) == 0 {
		return "", 0 // part of a batch that is not committed
	}
	var ack struct {
		Stream    string `json:"stream"`
		Seq       uint64 `json:"seq"`
		Duplicate bool   `json:"duplicate"`
		Error     any    `json:"error"`
	}
	if err := json.Unmarshal(reply, &ack); err != nil {
		t.Fatalf("acknowledgement %q: %v", reply, err)
	}
	if ack.Error != nil || ack.Duplicate {
		return "", 0
	}
	return ack.Stream, ack.Seq
}

// call is a request over NATS, to the endpoint itself.
func call[Req, Res any](t testing.TB, s *system, m endpoint.Method[Req, Res], req Req) (Res, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), program.Patience)
	defer cancel()
	return endpoint.Call(ctx, endpoint.NewCaller(s.NC, endpoint.CallerConfig{Token: func(context.Context) (string, error) { return s.Token, nil }}), m, req)
}

// gone waits until a message is no longer in its stream.
func (s *system) gone(t testing.TB, stream string, sequence uint64) {
	t.Helper()
	str, err := s.JS.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	program.Until(t, fmt.Sprintf("message %d has left %s", sequence, stream), func() bool {
		_, err := str.GetMsg(t.Context(), sequence)
		return errors.Is(err, jetstream.ErrMsgNotFound)
	})
}

// lettersOf returns the dead letters of one message.
func (s *system) lettersOf(t testing.TB, consumer string, sequence uint64) []bus.DeadLetter {
	t.Helper()
	var found []bus.DeadLetter
	for _, l := range s.letters(t) {
		if l.Consumer == consumer && l.Sequence == sequence {
			found = append(found, l)
		}
	}
	return found
}
