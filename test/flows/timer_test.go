package flows_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/app"
	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/pkg/natstest"
	"sluice/services/order"
	"sluice/services/order/orderapi"
	"sluice/streams"
	"sluice/test/program"
)

// pendingTimeout makes a system that cancels orders that stay pending for so long.
func pendingTimeout(timeout string) map[string]string {
	return map[string]string{"SLUICE_ORDER_PENDING_TIMEOUT": timeout}
}

// becomes waits until an order has a status and returns its history.
func (s *system) becomes(t *testing.T, id string, status orderapi.Status) []event.Event {
	t.Helper()
	program.Until(t, fmt.Sprintf("order %s is %s", id, status), func() bool {
		var o orderapi.Order
		s.Get(t, "/v1/orders/"+id, &o)
		return o.Status == status
	})
	var history orderapi.HistoryResponse
	s.Get(t, "/v1/orders/"+id+"/history", &history)
	return history.Items
}

// timerSet returns the schedule of an order's timer, and nothing when it has none.
func (s *system) timerSet(t *testing.T, id string) string {
	t.Helper()
	set := s.on(t, bus.TimerStream, "timer.set.order."+id)
	if len(set) == 0 {
		return ""
	}
	return set[len(set)-1].Header.Get(jetstream.ScheduleHeader)
}

// handled waits until the groups of timers have nothing left to do.
func (s *system) handled(t *testing.T) {
	t.Helper()
	for _, g := range []bus.Group{streams.OrderTimers, streams.OrderDue} {
		program.Until(t, g.Name+" is idle", func() bool {
			c, err := s.JS.Consumer(t.Context(), g.Stream, g.Name)
			return err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
		})
	}
}

// lapsed is a message that says an order's time is over, as anybody could publish it.
func lapsed(t *testing.T, id string) *nats.Msg {
	t.Helper()
	e, err := orderapi.Timers.New(t.Context(), id, orderapi.Lapsed{OrderID: id, Timestamp: time.Now().UTC()})
	if err != nil {
		t.Fatal(err)
	}
	header, data := event.Encode(e)
	return &nats.Msg{Subject: "timer.due.order." + id, Header: header, Data: data}
}

func TestPendingOrdersAreCancelledInTime(t *testing.T) {
	t.Parallel()
	s := start(t, pendingTimeout("2s"))
	u := s.newUser(t)
	confirmed := s.newOrder(t, u.ID)
	for s.Do(t, http.MethodPost, "/v1/orders/"+confirmed.ID+"/confirm", nil).Status != http.StatusOK {
		confirmed = s.newOrder(t, u.ID) // this machine took longer than two seconds
	}
	a := s.Do(t, http.MethodPost, "/v1/orders", orderBody(u.ID, oneItem))
	var forgotten orderapi.Order
	a.Into(t, http.StatusCreated, &forgotten)
	outside := orderEvent(event.NewID(), u.ID) // it says that it was placed long ago
	s.publish(t, &nats.Msg{Subject: outside.kind, Data: outside.structured()})

	history := s.becomes(t, forgotten.ID, orderapi.StatusCancelled)
	if len(history) != 2 {
		t.Fatalf("the forgotten order has %d events", len(history))
	}
	end, err := event.DecodeAs[orderapi.Cancelled](history[1])
	if err != nil {
		t.Fatal(err)
	}
	if end.Data.Reason != "not confirmed in time" || end.Data.Timestamp.Before(forgotten.CreatedAt.Add(2*time.Second)) {
		t.Errorf("it was cancelled by %s, having been placed at %s", end.Event.Data, forgotten.CreatedAt)
	}
	if end.CausationID != event.DeriveID("order.lapsed", forgotten.ID) || end.CorrelationID != history[0].CorrelationID ||
		end.CorrelationID != a.Header.Get("Sluice-Correlation-Id") {
		t.Errorf("it was cancelled because of %s in the course of %s", end.CausationID, end.CorrelationID)
	}
	s.Eventually(t, http.StatusOK, http.MethodGet, "/v1/orders/"+outside.subject, nil)
	s.becomes(t, outside.subject, orderapi.StatusCancelled)
	if history := s.becomes(t, confirmed.ID, orderapi.StatusConfirmed); len(history) != 2 {
		t.Errorf("the confirmed order has %d events", len(history))
	}
	s.step(t, confirmed.ID, "ship")
	s.handled(t)
	program.Until(t, "no timer is left", func() bool { return len(s.stored(t, bus.TimerStream)) == 0 })
	if letters := s.letters(t); len(letters) != 0 {
		t.Errorf("dead letters: %+v", letters)
	}
}

// A message that says an order's time is over is believed as far as it is true.
func TestForgedTimersChangeNothing(t *testing.T) {
	t.Parallel()
	s := start(t, pendingTimeout("1h"))
	u := s.newUser(t)
	var pending orderapi.Order
	s.Do(t, http.MethodPost, "/v1/orders", orderBody(u.ID, oneItem), "Idempotency-Key", "k-1").Into(t, http.StatusCreated, &pending)
	wiped, confirmed := s.newOrder(t, u.ID), s.newOrder(t, u.ID)
	s.handled(t)
	s.step(t, confirmed.ID, "confirm")
	deadline := func(o orderapi.Order) string { return "@at " + o.CreatedAt.Add(time.Hour).Format(time.RFC3339Nano) }
	for _, o := range []orderapi.Order{pending, wiped} {
		if got := s.timerSet(t, o.ID); got != deadline(o) {
			t.Errorf("the timer is set to %q, not to %q", got, deadline(o))
		}
	}
	if err := bus.CancelTimer(t.Context(), s.JS, "order", wiped.ID); err != nil {
		t.Fatal(err)
	}
	var stored []uint64
	for _, id := range []string{pending.ID, wiped.ID, confirmed.ID, event.NewID(), "nobody"} {
		for range 2 {
			_, sequence := s.publish(t, lapsed(t, id))
			stored = append(stored, sequence)
		}
	}
	reused := lapsed(t, pending.ID)
	reused.Header["ce-id"] = s.on(t, "ORDERS", "order.created."+pending.ID)[0].Header["ce-causationid"]
	garbage := map[string]*nats.Msg{
		"nonsense":          {Subject: "timer.due.order." + pending.ID, Data: []byte("nonsense")},
		"of another type":   {Subject: "timer.due.order." + pending.ID, Data: []byte(`{"specversion":"1.0","id":"x","source":"/cli","type":"order.cancelled","subject":"` + pending.ID + `","data":{}}`)},
		"of another order":  {Subject: "timer.due.order." + event.NewID(), Header: lapsed(t, pending.ID).Header, Data: lapsed(t, pending.ID).Data},
		"with data amiss":   {Subject: "timer.due.order." + pending.ID, Header: lapsed(t, pending.ID).Header, Data: []byte(`{"order_id":"` + confirmed.ID + `"}`)},
		"with a command id": reused,
	}
	refused := make(map[string]uint64)
	for name, m := range garbage {
		_, refused[name] = s.publish(t, m)
		stored = append(stored, refused[name])
	}
	for _, sequence := range stored {
		s.gone(t, bus.TimerStream, sequence)
	}
	s.handled(t)
	for _, o := range []orderapi.Order{pending, wiped} {
		if history := s.becomes(t, o.ID, orderapi.StatusPending); len(history) != 1 {
			t.Errorf("the pending order has %d events", len(history))
		}
		if got := s.timerSet(t, o.ID); got != deadline(o) {
			t.Errorf("afterwards the timer is set to %q, not to %q", got, deadline(o))
		}
	}
	if history := s.becomes(t, confirmed.ID, orderapi.StatusConfirmed); len(history) != 2 {
		t.Errorf("the confirmed order has %d events", len(history))
	}
	if got := s.timerSet(t, confirmed.ID); got != "" {
		t.Errorf("the confirmed order has a timer: %s", got)
	}
	for name, sequence := range refused {
		letters := s.lettersOf(t, streams.OrderDue.Name, sequence)
		if len(letters) != 1 || letters[0].Stream != bus.TimerStream || letters[0].Error == "" {
			t.Errorf("%s: dead letters %+v", name, letters)
		}
	}
	if letters := s.letters(t); len(letters) != len(refused) {
		t.Errorf("%d dead letters of %d", len(letters), len(refused))
	}
}

func TestWithoutATimeoutOrdersStayPending(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	o := s.newOrder(t, s.newUser(t).ID)
	s.handled(t)
	if left := s.stored(t, bus.TimerStream); len(left) != 0 {
		t.Errorf("a timer was set: %+v", left[0])
	}
	_, sequence := s.publish(t, lapsed(t, o.ID)) // left from when there was a timeout
	s.gone(t, bus.TimerStream, sequence)
	if history := s.becomes(t, o.ID, orderapi.StatusPending); len(history) != 1 {
		t.Errorf("the order has %d events", len(history))
	}
}

// The timeout as it is when the timer is due decides, and what was due while no
// service ran is done by the next.
func TestTimersOutliveTheServices(t *testing.T) {
	t.Parallel()
	env := map[string]string{"NATS_URL": natstest.Start(t).URL(), "SLUICE_ORDER_PENDING_TIMEOUT": "1h"}
	first := start(t, env)
	u := first.newUser(t)
	o := first.newOrder(t, u.ID)
	first.handled(t)
	first.Stop(t)
	// Its time comes now instead of in an hour, and nobody is there.
	set, err := orderapi.Timers.New(t.Context(), o.ID, orderapi.Lapsed{OrderID: o.ID, Timestamp: time.Now().UTC()})
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.At(t.Context(), first.JS, time.Now(), set); err != nil {
		t.Fatal(err)
	}
	program.Until(t, "the timer is due", func() bool { return len(first.on(t, bus.TimerStream, "timer.due.order."+o.ID)) == 1 })
	env["SLUICE_ORDER_PENDING_TIMEOUT"] = "1s"
	second := start(t, env)
	if history := second.becomes(t, o.ID, orderapi.StatusCancelled); len(history) != 2 {
		t.Errorf("the order has %d events", len(history))
	}
}

// An order whose timer was not set, or got lost, has the same one once its beginning is
// handled again.
func TestLostTimersAreSetAgainFromHistory(t *testing.T) {
	t.Parallel()
	env := map[string]string{"NATS_URL": natstest.Start(t).URL(), "SLUICE_ORDER_PENDING_TIMEOUT": "1h"}
	first := start(t, env)
	o := first.newOrder(t, first.newUser(t).ID)
	first.handled(t)
	first.Stop(t)
	before := first.timerSet(t, o.ID)
	stream, err := first.JS.Stream(t.Context(), bus.TimerStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := first.JS.ResetConsumerToSequence(t.Context(), streams.OrderTimers.Stream, streams.OrderTimers.Name, 1); err != nil {
		t.Fatal(err)
	}
	second := start(t, env)
	program.Until(t, "the timer is set", func() bool { return second.timerSet(t, o.ID) != "" })
	if after := second.timerSet(t, o.ID); before == "" || after != before {
		t.Errorf("the timer was set to %q, and now to %q", before, after)
	}
}

func TestBadTimeoutIsOneLine(t *testing.T) {
	t.Parallel()
	var stdout, stderr program.Output
	ctx, cancel := context.WithTimeout(t.Context(), program.Patience)
	defer cancel()
	code := app.Main(ctx, app.Program{
		Name: "sluice", Services: []app.Service{order.Service}, Stdout: &stdout, Stderr: &stderr,
		Environ: []string{"SLUICE_ORDER_PENDING_TIMEOUT=soon"},
		Args:    []string{"--nats", "127.0.0.1:0", "--data", t.TempDir()},
	})
	if got := stderr.String(); code != 1 || strings.Count(got, "\n") != 1 || stdout.String() != "" ||
		!strings.HasPrefix(got, `sluice: environment SLUICE_ORDER_PENDING_TIMEOUT: order.pending_timeout: "soon" is not a duration such as `) {
		t.Errorf("exit code %d, %s%s", code, got, &stdout)
	}
}
