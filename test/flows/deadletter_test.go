package flows_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"sluice/pkg/bus"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/deadletter/deadletterapi"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
	"sluice/test/program"
)

// listed waits until the list has n letters that fit the query, and returns them.
func (s *system) listed(t testing.TB, query string, n int) []deadletterapi.Letter {
	t.Helper()
	var page deadletterapi.ListResponse
	program.Until(t, "the dead letters "+query+" are there", func() bool {
		page = deadletterapi.ListResponse{}
		s.Get(t, "/v1/dead-letters?"+query, &page)
		return len(page.Items) == n
	})
	return page.Items
}

func TestDeadLetterIsRedriven(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	userID, orderID := event.NewID(), event.NewID()
	order := orderEvent(orderID, userID)
	since := time.Now()
	s.judged(t, &nats.Msg{Subject: order.kind, Header: nats.Header{"X-Mine": {"1"}}, Data: order.structured()})

	letter := s.listed(t, "consumer=order-intake&type=order.created&reason=dropped", 1)[0]
	if letter.Consumer != "order-intake" || letter.Stream != "ORDERS_INTAKE" || letter.Sequence == 0 || letter.Subject != "order.created" ||
		letter.Attempts != 1 || letter.Error == "" || letter.FirstAt.Before(since) || letter.LastAt.Before(letter.FirstAt) ||
		letter.Headers["X-Mine"][0] != "1" || string(letter.Data) != string(order.structured()) {
		t.Errorf("the letter is %+v", letter)
	}
	var one deadletterapi.Letter
	s.Get(t, "/v1/dead-letters/"+letter.ID, &one)
	if one.ID != letter.ID || string(one.Data) != string(letter.Data) || one.Error != letter.Error {
		t.Errorf("alone it is %+v", one)
	}
	s.listed(t, "consumer=user-intake", 0)
	s.listed(t, "to="+url.QueryEscape(since.UTC().Format(time.RFC3339Nano)), 0)
	s.listed(t, "from="+url.QueryEscape(since.UTC().Format(time.RFC3339Nano)), 1)

	// Nothing is better yet.
	s.Do(t, http.MethodPost, "/v1/dead-letters/"+letter.ID+"/redrive", nil).Into(t, http.StatusOK, &deadletterapi.RedriveResponse{})
	program.Until(t, "it fails again", func() bool {
		again := s.listed(t, "", 1)[0]
		return again.ID == letter.ID && again.Redrives == 1 && again.Attempts == 2 && again.FirstAt.Equal(letter.FirstAt) &&
			len(again.Earlier) == 1 && again.Earlier[0].Error == letter.Error && string(again.Data) == string(letter.Data)
	})

	// Now the user is there, and the order is placed.
	user := userEvent(userID)
	s.takeIn(t, user, &nats.Msg{Subject: user.kind, Data: user.structured()})
	s.Do(t, http.MethodPost, "/v1/dead-letters/"+letter.ID+"/redrive", nil).Into(t, http.StatusOK, &deadletterapi.RedriveResponse{})
	s.Eventually(t, http.StatusOK, http.MethodGet, "/v1/orders/"+orderID, nil)
	s.listed(t, "", 0)
	if left := s.stored(t, bus.DeadLetterStream); len(left) != 0 {
		t.Errorf("%d messages are left, the first is %s", len(left), left[0].Subject)
	}
	s.Do(t, http.MethodPost, "/v1/dead-letters/"+letter.ID+"/redrive", nil).Problem(t, http.StatusNotFound, endpoint.CodeNotFound)
}

func TestDeadLettersAreRedrivenTogether(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	u := s.newUser(t)
	const n = 5
	ids := make([]string, n)
	for i := range ids {
		ids[i] = event.NewID()
		for _, kind := range []string{"order.confirmed", "order.shipped"} {
			step := stepEvent(kind, ids[i])
			s.judged(t, &nats.Msg{Subject: kind, Data: step.structured()})
		}
	}
	s.judged(t, &nats.Msg{Subject: "order.confirmed", Data: []byte("{}")})
	s.listed(t, "", 2*n+1)
	for _, id := range ids {
		order := orderEvent(id, u.ID)
		s.takeIn(t, order, &nats.Msg{Subject: order.kind, Data: order.structured()})
	}
	for next, kind := "", []string{"order.confirmed", "order.shipped"}; len(kind) > 0; {
		query := url.Values{"consumer": {"order-intake"}, "type": kind[:1], "limit": {"3"}}
		if next != "" {
			query.Set("cursor", next)
		}
		var done deadletterapi.RedriveAllResponse
		s.Do(t, http.MethodPost, "/v1/dead-letters/redrive?"+query.Encode(), nil).Into(t, http.StatusOK, &done)
		if done.Redriven == 0 || len(done.Skipped) != 0 {
			t.Fatalf("redrive of %v: %+v", query, done)
		}
		if next = done.Next; next == "" {
			for _, id := range ids {
				program.Until(t, kind[0]+" is done", func() bool {
					var o orderapi.Order
					s.Get(t, "/v1/orders/"+id, &o)
					return "order."+string(o.Status) == kind[0]
				})
			}
			kind = kind[1:]
		}
	}
	if left := s.listed(t, "", 1)[0]; left.Redrives != 1 || string(left.Data) != "{}" {
		t.Errorf("left is %+v", left)
	}
}

func TestDeadLetterIsDiscarded(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.judged(t, &nats.Msg{Subject: "user.created", Data: []byte("not an event")})
	s.judged(t, &nats.Msg{Subject: "user.created", Data: []byte("\xff\x00")})
	reply := s.Ask(t, "svc.deadletter.list", []byte(`{"consumer":"user-intake","limit":1}`))
	var page deadletterapi.ListResponse
	if err := json.Unmarshal(reply.Data, &page); err != nil {
		t.Fatalf("%s: %v", reply.Data, err)
	}
	if len(page.Items) != 1 || page.Next == "" || page.Items[0].Binary != "/wA=" || page.Items[0].Size != 2 {
		t.Errorf("the first page is %s", reply.Data)
	}
	second := s.listed(t, "limit=1&cursor="+page.Next, 1)[0]
	if string(second.Data) != `"not an event"` {
		t.Errorf("the second page is %+v", second)
	}
	for _, id := range []string{second.ID, page.Items[0].ID} {
		path := "/v1/dead-letters/" + id
		s.Do(t, http.MethodDelete, path, nil).Into(t, http.StatusOK, &deadletterapi.DiscardResponse{})
		s.Do(t, http.MethodDelete, path, nil).Problem(t, http.StatusNotFound, endpoint.CodeNotFound)
		s.Do(t, http.MethodGet, path, nil).Problem(t, http.StatusNotFound, endpoint.CodeNotFound)
	}
	if left := s.stored(t, bus.DeadLetterStream); len(left) != 0 {
		t.Errorf("%d messages are left", len(left))
	}
}

func TestDeadLetterThatCannotBeRedriven(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.publish(t, &nats.Msg{Subject: "order.created." + event.NewID(), Data: []byte("{}")})
	s.publish(t, &nats.Msg{Subject: "deadletter.order-intake.order.created", Data: []byte("by hand")})
	for _, letter := range s.listed(t, "reason=foreign", 2) {
		p := s.Do(t, http.MethodPost, "/v1/dead-letters/"+letter.ID+"/redrive", nil).Problem(t, http.StatusConflict, endpoint.CodeConflict)
		if !strings.Contains(p.Detail, "cannot be redriven: ") {
			t.Errorf("detail %q", p.Detail)
		}
	}
	var done deadletterapi.RedriveAllResponse
	s.Do(t, http.MethodPost, "/v1/dead-letters/redrive", nil).Into(t, http.StatusOK, &done)
	if done.Redriven != 0 || len(done.Skipped) != 2 || done.Skipped[0].Reason == "" || done.Skipped[0].ID == "" {
		t.Errorf("redriven together: %+v", done)
	}
}

// The letters of an erased user go, also while they wait to be handled anew.
func TestDeadLettersOfErasedUsers(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	u := s.newUser(t)
	var taken userapi.User
	s.Get(t, "/v1/users/"+u.ID, &taken)
	again := userEvent(event.NewID())
	again.data = strings.ReplaceAll(again.data, again.data[strings.Index(again.data, `"email":"`)+9:strings.Index(again.data, `@example.com`)], strings.TrimSuffix(taken.Email, "@example.com"))
	s.judged(t, &nats.Msg{Subject: again.kind, Data: again.structured()})
	letter := s.listed(t, "consumer=user-intake", 1)[0]
	if !strings.Contains(string(letter.Data), taken.Email) {
		t.Fatalf("the letter is %s", letter.Data)
	}
	s.Do(t, http.MethodDelete, "/v1/users/"+u.ID, nil).Into(t, http.StatusOK, &userapi.EraseResponse{})
	s.listed(t, "", 0)
}

func TestBadQueriesForDeadLetters(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	for query, field := range map[string]string{
		"from=yesterday":                   "from",
		"limit=1001":                       "limit",
		"limit=-1":                         "limit",
		"limit=x":                          "limit",
		"cursor=%3F":                       "cursor",
		"cursor=AA":                        "cursor",
		"colour=red":                       "colour",
		"consumer=a&consumer=b":            "consumer",
		"type=" + strings.Repeat("x", 129): "type",
		"from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": "to",
	} {
		if p := s.Do(t, http.MethodGet, "/v1/dead-letters?"+query, nil).Problem(t, http.StatusBadRequest, endpoint.CodeInvalid); !p.Names(field) {
			t.Errorf("%s: %+v", query, p.Fields)
		}
		if query != "cursor=AA" {
			s.Do(t, http.MethodPost, "/v1/dead-letters/redrive?"+query, nil).Problem(t, http.StatusBadRequest, endpoint.CodeInvalid)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		s.Do(t, method, "/v1/dead-letters/nonsense", nil).Problem(t, http.StatusNotFound, endpoint.CodeNotFound)
	}
}
