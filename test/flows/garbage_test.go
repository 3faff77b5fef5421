package flows_test

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"sluice/pkg/bus"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/services/notification/notificationapi"
	"sluice/services/order/orderapi"
	"sluice/services/user/userapi"
	"sluice/streams"
	"sluice/test/program"
)

// hostileHeaders are what somebody might try on any subject.
func hostileHeaders() []nats.Header {
	return []nats.Header{
		nil,
		{"Nats-Rollup": {"all"}},
		{"Nats-Rollup": {"sub"}},
		{"nats-rollup": {"all"}},
		{"Nats-TTL": {"1s"}},
		{"Nats-TTL": {"never"}},
		{"Nats-Msg-Id": {event.NewID()}},
		{"Nats-Marker-Reason": {"MaxAge"}},
		{"KV-Operation": {"PURGE"}},
		{"Nats-Incr": {"1"}},
		{"Nats-Expected-Stream": {"ORDERS"}},
		{"Nats-Expected-Last-Msg-Id": {"nothing"}},
		{"Nats-Expected-Last-Sequence": {"1"}},
		{"Nats-Expected-Last-Subject-Sequence": {"0"}},
		{"Nats-Expected-Last-Subject-Sequence": {"0"}, "Nats-Expected-Last-Subject-Sequence-Subject": {"order.*.nobody"}},
		{"Nats-Batch-Id": {"b-1"}, "Nats-Batch-Sequence": {"1"}},
		{"Nats-Batch-Id": {"b-2"}, "Nats-Batch-Sequence": {"1"}, "Nats-Batch-Commit": {"1"}},
		{"Nats-Schedule": {"@every 1s"}, "Nats-Schedule-Target": {"order.created"}},
		{"Nats-Scheduler": {"x"}, "Nats-Schedule-Next": {"purge"}},
		{"Status": {"503"}, "Description": {"No Responders"}},
		{"Nats-Stream": {"USERS"}, "Nats-Sequence": {"1"}, "Nats-Subject": {"user.created.x"}, "Nats-Num-Pending": {"0"}},
		{"ce-id": {"1"}, "CE-ID": {"2"}, "ce-specversion": {"1.0"}},
		{"ce-id": {"1", "2"}, "ce-specversion": {"1.0"}},
		{"ce-specversion": {"1.0"}, "ce-id": {"\xff\xfe"}, "ce-source": {"%ff"}, "ce-type": {"order.created"}},
		{"ce-specversion": {"0.3"}, "ce-id": {"1"}, "ce-source": {"/x"}, "ce-type": {"order.created"}},
		{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/x"}, "ce-type": {"order.created"}, "ce-aggregateversion": {"-1"}},
		{"X-Huge": {strings.Repeat("h", 50<<10)}},
		{"Dead-Letter-Id": {"1"}, "Dead-Letter-Consumer": {"order-intake"}, "Original-X": {"1"}},
		{"traceparent": {"00-00000000000000000000000000000000-0000000000000000-00"}, "tracestate": {strings.Repeat(",", 600)}},
		{"content-type": {"application/cloudevents+json"}},
		{"content-type": {"application/cloudevents-batch+json"}},
	}
}

func hostileBodies() [][]byte {
	return [][]byte{nil, []byte("hello"), []byte("{}"), []byte("[]"), []byte("\xff\xfe\x00"), []byte(strings.Repeat("[", 20000)), bytes.Repeat([]byte("x"), 500<<10)}
}

// forgery is an event that looks as if a service had written it.
func forgery(kind, id, data string, version uint64, previous, step string) *nats.Msg {
	m := &nats.Msg{Subject: kind + "." + id, Data: []byte(data), Header: nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {event.NewID()}, "ce-source": {"/services/" + strings.Split(kind, ".")[0]}, "ce-type": {kind},
		"ce-subject": {id}, "ce-time": {"2026-01-02T03:04:05Z"}, "ce-dataschema": {"sluice:/schemas/" + kind + "/v1"},
		"ce-aggregateversion": {fmt.Sprint(version)}, "content-type": {"application/json"},
	}}
	if previous != "" {
		m.Header["ce-previous"] = []string{previous}
	}
	if step != "" {
		m.Header["ce-step"] = []string{step}
	}
	return m
}

// forgeries are attempts on an order that has two events, the last at sequence last.
// None continues the order: one that does is part of its history, whoever wrote it.
func forgeries(o orderapi.Order, last uint64) []*nats.Msg {
	shipped := stepEvent("order.shipped", o.ID).data
	created := orderEvent(o.ID, event.NewID()).data
	links := fmt.Sprint(last)
	messages := []*nats.Msg{
		forgery("order.created", o.ID, created, 1, "", "1"), // a second beginning
		forgery("order.shipped", o.ID, shipped, 1, "", "1"),
		forgery("order.shipped", o.ID, shipped, 3, "", "1"),
		forgery("order.shipped", o.ID, shipped, 3, fmt.Sprint(last-1), "1"),
		forgery("order.shipped", o.ID, shipped, 3, links, ""),
		forgery("order.shipped", o.ID, shipped, 4, links, "1"),
		forgery("order.shipped", o.ID, shipped, 2, links, "1"),
		forgery("order.shipped", o.ID, shipped, 0, links, "1"),
		forgery("order.shipped", o.ID, shipped, 3, "999999", "1"),
		forgery("order.shipped", o.ID, shipped, 3, links+",x", "1"),
		forgery("order.shipped", o.ID, shipped, 3, links, "2"),
		forgery("order.shipped", o.ID, shipped, 3, links, "999999999999"),
		forgery("order.shipped", o.ID, shipped, 18446744073709551615, links, "1"),
		forgery("order.shipped", o.ID, `{"order_id":7}`, 3, links, "1"),
		forgery("order.refunded", o.ID, `{}`, 4, links, "1"),
		forgery("order.shipped", event.NewID(), shipped, 3, links, "1"), // nobody's third event
	}
	wrongType := forgery("order.confirmed", o.ID, shipped, 3, links, "1")
	wrongType.Subject = "order.shipped." + o.ID
	wrongID := forgery("order.shipped", event.NewID(), shipped, 3, links, "1")
	wrongID.Subject = "order.shipped." + o.ID
	return append(messages, wrongType, wrongID)
}

// place is where a stream stored a message.
type place struct {
	stream   string
	sequence uint64
}

func TestGarbageStopsNothing(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	u := s.newUser(t)
	o := s.newOrder(t, u.ID)
	confirmed := s.step(t, o.ID, "confirm")
	sent := s.notified(t, u.ID, notificationapi.StatusSent, 2)[0]
	s.Get(t, "/v1/orders/"+o.ID, &o, endpoint.HeaderPosition, confirmed.Position())
	before := s.seen(t, u.ID, o.ID)
	genuine := s.on(t, "ORDERS", "order.confirmed."+o.ID)

	garbage := forgeries(o, genuine[0].Sequence)
	for _, subject := range []string{
		"order.created", "user.created", "order.x", "order.created." + o.ID, "order.anything." + o.ID, "order.created.o-1",
		"user.created." + u.ID, "notification.sent." + sent.ID, "order.created.*",
	} {
		for _, header := range hostileHeaders() {
			garbage = append(garbage, &nats.Msg{Subject: subject, Header: maps.Clone(header), Data: []byte(`{"x":1}`)})
		}
		for _, body := range hostileBodies() {
			garbage = append(garbage, &nats.Msg{Subject: subject, Data: body})
		}
	}
	stored := make(map[place]*nats.Msg)
	for _, m := range garbage {
		if stream, sequence := s.publish(t, m); sequence > 0 {
			stored[place{stream, sequence}] = m
		}
	}
	for _, raw := range rawHeaders() {
		for _, subject := range []string{"order.created", "order.shipped." + o.ID, "user.created." + u.ID} {
			if stream, sequence := s.publishRaw(t, subject, raw, []byte("{}")); sequence > 0 {
				stored[place{stream, sequence}] = &nats.Msg{Subject: subject, Data: []byte("{}")}
			}
		}
	}
	if len(stored) < 200 {
		t.Fatalf("only %d of %d messages were stored: this tests nothing", len(stored), len(garbage))
	}
	t.Logf("%d messages published, %d stored", len(garbage)+3*len(rawHeaders()), len(stored))

	s.wholeFlow(t)
	for p := range stored {
		s.gone(t, p.stream, p.sequence)
	}
	if after := s.seen(t, u.ID, o.ID); after != before {
		t.Errorf("aggregates changed:\n%s\n%s", before, after)
	}
	s.buried(t, stored)
	s.modelsAreFolds(t)
	s.idle(t)
}

// seen is all that HTTP tells of a user and an order.
func (s *system) seen(t *testing.T, userID, orderID string) string {
	t.Helper()
	var b strings.Builder
	for _, path := range []string{"/v1/users/" + userID, "/v1/orders/" + orderID, "/v1/orders/" + orderID + "/history", "/v1/users/" + userID + "/orders", "/v1/notifications?user_id=" + userID} {
		a := s.Do(t, http.MethodGet, path, nil)
		fmt.Fprintln(&b, a.Status, a.Body)
	}
	return b.String()
}

// buried checks that each message is found exactly once among the dead letters.
func (s *system) buried(t *testing.T, stored map[place]*nats.Msg) {
	t.Helper()
	found := make(map[place]int)
	for _, l := range s.letters(t) {
		p := place{l.Stream, l.Sequence}
		m, ok := stored[p]
		if !ok {
			t.Errorf("%s %d is a dead letter but was not garbage: %s: %s", l.Stream, l.Sequence, l.Subject, l.Error)
			continue
		}
		found[p]++
		reason, consumer := bus.ReasonForeign, "-guard"
		if strings.HasSuffix(l.Stream, "_INTAKE") {
			reason, consumer = bus.ReasonDropped, "-intake"
		}
		if l.Reason != reason || !strings.HasSuffix(l.Consumer, consumer) || l.Subject != m.Subject || l.Error == "" {
			t.Errorf("the dead letter of %s is %s of %s: %s: %s", m.Subject, l.Reason, l.Consumer, l.Subject, l.Error)
		}
		if l.Truncated == "" && !bytes.Equal(l.Data, m.Data) {
			t.Errorf("the dead letter of %s lost its data", m.Subject)
		}
	}
	for p, m := range stored {
		if found[p] != 1 {
			t.Errorf("%d dead letters of %s %d, %s with %v", found[p], p.stream, p.sequence, m.Subject, m.Header)
		}
	}
}

// modelsAreFolds folds the raw history of orders and compares with the read model.
func (s *system) modelsAreFolds(t *testing.T) {
	t.Helper()
	statuses := map[string]orderapi.Status{
		"created": orderapi.StatusPending, "confirmed": orderapi.StatusConfirmed, "shipped": orderapi.StatusShipped,
		"delivered": orderapi.StatusDelivered, "cancelled": orderapi.StatusCancelled,
	}
	type folded struct {
		status  orderapi.Status
		version uint64
	}
	orders := make(map[string]folded)
	for _, m := range s.stored(t, "ORDERS") {
		tokens := strings.Split(m.Subject, ".")
		f := orders[tokens[2]]
		orders[tokens[2]] = folded{statuses[tokens[1]], f.version + 1}
	}
	bucket, err := s.JS.KeyValue(t.Context(), streams.BucketOrders)
	if err != nil {
		t.Fatal(err)
	}
	for id, f := range orders {
		var o orderapi.Order
		program.Until(t, "the model of orders has "+id, func() bool {
			entry, err := bucket.Get(t.Context(), id)
			return err == nil && json.Unmarshal(entry.Value(), &o) == nil && o.Version >= f.version
		})
		if o.Status != f.status || o.Version != f.version || o.ID != id {
			t.Errorf("order %s: the model has %s at %d, history %s at %d", id, o.Status, o.Version, f.status, f.version)
		}
	}
	users, err := s.JS.KeyValue(t.Context(), streams.BucketUsers)
	if err != nil {
		t.Fatal(err)
	}
	wanted := make(map[string]userapi.User)
	for _, m := range s.stored(t, "USERS") {
		tokens := strings.Split(m.Subject, ".")
		if len(tokens) != 3 {
			continue
		}
		u := wanted[tokens[2]]
		if err := json.Unmarshal(m.Data, &u); err != nil { // events name what they change as users do
			t.Fatal(err)
		}
		u.Version++
		wanted[tokens[2]] = u
	}
	for id, want := range wanted {
		var u userapi.User
		entry, err := users.Get(t.Context(), id)
		if err != nil || json.Unmarshal(entry.Value(), &u) != nil || u.Email != want.Email || u.Username != want.Username ||
			u.Version != want.Version || !slices.Equal(u.Roles, want.Roles) {
			t.Errorf("user %s: the model has %+v, not %+v, %v", id, u, want, err)
		}
	}
}

// idle waits until no consumer has anything left.
func (s *system) idle(t *testing.T) {
	t.Helper()
	for _, stream := range []string{"USERS", "ORDERS", "NOTIFICATIONS", "USERS_INTAKE", "ORDERS_INTAKE"} {
		str, err := s.JS.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		names := str.ConsumerNames(t.Context())
		for name := range names.Name() {
			program.Until(t, name+" is idle", func() bool {
				c, err := str.Consumer(t.Context(), name)
				return err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
			})
		}
		if err := names.Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// nowhere is a sequence that a stream does not get to here.
const nowhere = 1 << 40

// The guard has not removed all of it when a command comes.
func TestGarbageAmidCommandsHoldsNoneUp(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	u := s.newUser(t)
	for range 5 {
		o := s.newOrder(t, u.ID)
		for _, step := range []string{"confirm", "ship", "deliver"} {
			for _, m := range forgeries(o, nowhere) {
				s.publish(t, m)
			}
			for _, raw := range rawHeaders() {
				s.publishRaw(t, "order.shipped."+o.ID, raw, nil)
			}
			s.step(t, o.ID, step)
		}
		var history orderapi.HistoryResponse
		s.Get(t, "/v1/orders/"+o.ID+"/history", &history)
		if len(history.Items) != 4 {
			t.Errorf("%d events instead of 4", len(history.Items))
		}
	}
	s.wholeFlow(t)
}
