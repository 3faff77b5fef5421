package interop_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/pkg/event"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
	"sluice/test/program"
)

// TestTheProgramTakesWhatTheSDKSends: every client of the SDK hands in a user and an order,
// and both are there afterwards, with a history that the SDK reads.
func TestTheProgramTakesWhatTheSDKSends(t *testing.T) {
	t.Parallel()
	s := program.Start(t, nil)
	overHTTP, err := cehttp.New(cehttp.WithTarget(s.URL+"/v1/events"), cehttp.WithHeader("Authorization", "Bearer "+s.Token))
	if err != nil {
		t.Fatal(err)
	}
	type way struct {
		sending
		over func(t testing.TB, stream, subject string) any
	}
	ways := []way{
		{sending{name: "HTTP structured", mode: structured, text: awkward}, func(testing.TB, string, string) any { return overHTTP }},
		{sending{name: "HTTP binary", mode: plainly, text: unencoded}, func(testing.TB, string, string) any { return overHTTP }},
	}
	for _, over := range sendings {
		ways = append(ways, way{over, func(t testing.TB, stream, subject string) any { //nolint:thelper // a column of the table
			return over.open(t, s.NATS, stream, subject)
		}})
	}
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			data := placed(t)
			name := "sdk-" + data.UserID[24:]
			created := userapi.Created{UserID: data.UserID, Username: name, Email: name + "@example.com", Timestamp: data.Timestamp}
			newUser := theirs(t, "user.created", data.UserID, w.text, created)
			send(t, w.mode(t.Context()), w.over(t, "USERS_INTAKE", "user.created"), newUser)
			var u userapi.User
			s.Eventually(t, http.StatusOK, http.MethodGet, "/v1/users/"+data.UserID, nil).Into(t, http.StatusOK, &u)
			if u.Username != name || u.Version != 1 {
				t.Errorf("the user is %+v", u)
			}

			newOrder := theirs(t, "order.created", data.OrderID, w.text, data)
			for range 2 { // sent twice it counts once
				send(t, w.mode(t.Context()), w.over(t, "ORDERS_INTAKE", "order.created"), newOrder)
			}
			confirmed := theirs(t, "order.confirmed", data.OrderID, w.text, orderapi.Confirmed{
				Transition: orderapi.Transition{OrderID: data.OrderID, Timestamp: data.Timestamp},
			})
			send(t, w.mode(t.Context()), w.over(t, "ORDERS_INTAKE", "order.confirmed"), confirmed)
			s.Eventually(t, http.StatusOK, http.MethodGet, "/v1/orders/"+data.OrderID, nil)
			var o orderapi.Order
			program.Until(t, "the order is confirmed", func() bool {
				s.Get(t, "/v1/orders/"+data.OrderID, &o)
				return o.Status == orderapi.StatusConfirmed
			})
			if o.UserID != data.UserID || !o.TotalAmount.Equal(data.TotalAmount) || o.Items[0].ProductID != data.Items[0].ProductID {
				t.Errorf("the order is %+v", o)
			}
			wantHistory(t, s, data.OrderID, newOrder, confirmed)
		})
	}
}

// wantHistory reads an order's history with the SDK and wants the events that were sent, as
// their senders named them.
func wantHistory(t *testing.T, s *program.System, id string, sent ...cloudevents.Event) {
	t.Helper()
	var history struct {
		Items []jsontext.Value `json:"items"`
	}
	s.Get(t, "/v1/orders/"+id+"/history", &history)
	if len(history.Items) != len(sent) {
		t.Fatalf("the history has %d events, want %d: %s", len(history.Items), len(sent), history.Items)
	}
	var positions []string
	for i, item := range history.Items {
		var got cloudevents.Event
		if err := got.UnmarshalJSON(item); err != nil {
			t.Fatalf("%v: %s", err, item)
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%v: %s", err, item)
		}
		want := sent[i]
		if got.ID() != want.ID() || got.Source() != want.Source() || got.Type() != want.Type() || got.Subject() != want.Subject() || !got.Time().Equal(want.Time()) {
			t.Errorf("history has %s, sent was %s", got, want)
		}
		if got.DataContentType() != event.ContentType || !strings.HasSuffix(got.DataSchema(), "/schemas/"+want.Type()+"/v1") {
			t.Errorf("history has data of %s %s", got.DataContentType(), got.DataSchema())
		}
		if has, wants := got.Extensions()["correlationid"], want.Extensions()["correlationid"]; has != wants {
			t.Errorf("correlationid is %q, sent was %q", has, wants)
		}
		if version := got.Extensions()["aggregateversion"]; fmt.Sprint(version) != fmt.Sprint(i+1) {
			t.Errorf("event %d has version %v", i, version)
		}
		var has, wants any
		if got.DataAs(&has) != nil || want.DataAs(&wants) != nil || fmt.Sprint(has) != fmt.Sprint(wants) {
			t.Errorf("data is %s, sent was %s", got.Data(), want.Data())
		}
		positions = append(positions, fmt.Sprintf("%020v", got.Extensions()["position"]))
	}
	if !slices.IsSorted(positions) {
		t.Errorf("the positions are %v", positions)
	}
}
