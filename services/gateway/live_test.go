package gateway_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
	"sluice/services/gateway"
	"sluice/services/gateway/live"
	"sluice/services/order/orderapi"
	"sluice/streams"
)

// startLive runs a gateway that streams the history of orders.
func startLive(t testing.TB, settings gateway.EventStreams) (world, *eventstore.Store) {
	t.Helper()
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	if _, err := js.CreateStream(t.Context(), eventstore.HistoryConfig(streams.Orders)); err != nil {
		t.Fatal(err)
	}
	store := eventstore.New(js, streams.Orders, orderapi.Events)
	if err := store.Anchor(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := startGateway(t, srv, gateway.Config{
		JetStream: srv.JetStream(t), Settings: gateway.Settings{Events: settings},
		Histories: []live.History{{Stream: streams.Orders, Events: orderapi.Events, Get: orderapi.Get.Spec()}},
	}, hasty, &logs{})
	return w, store
}

// listen opens a stream of events and reads what it begins with.
func (w world) listen(t testing.TB, token, query string, header ...string) (*http.Response, *bufio.Reader) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/v1/events?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	r := bufio.NewReader(res.Body)
	if res.StatusCode == http.StatusOK {
		readMessage(t, r)
	}
	return res, r
}

// readMessage returns the lines up to the next empty one.
func readMessage(t testing.TB, r *bufio.Reader) string {
	t.Helper()
	var message strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", message.String(), err)
		}
		if line == "\n" {
			return message.String()
		}
		message.WriteString(line)
	}
}

func TestTheGatewayStreamsEvents(t *testing.T) {
	t.Parallel()
	w, store := startLive(t, gateway.EventStreams{Heartbeat: time.Minute})
	res, r := w.listen(t, "operator olga", "subject=order.*.*", "Accept-Encoding", "gzip")
	if res.Header.Get("Content-Encoding") != "" || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%v", res.Header)
	}
	if _, err := w.srv.Connect(t).Request("order.created.x", []byte("garbage"), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	e, err := orderapi.Events.New(t.Context(), "o-1", placed(t, "o-1"))
	if err == nil {
		_, err = store.Append(t.Context(), e.Subject, eventstore.Tail{}, []event.Event{e})
	}
	if err != nil {
		t.Fatal(err)
	}
	m := readMessage(t, r)
	if !strings.HasPrefix(m, "event: order.created\ndata: {") || !strings.Contains(m, e.ID) || !strings.HasSuffix(m, "id: ORDERS=3\n") {
		t.Errorf("got %s", m)
	}
}

func placed(t testing.TB, id string) orderapi.Created {
	t.Helper()
	created := orderapi.Created{OrderID: id, UserID: "ada", Items: []orderapi.Item{{ProductID: "p", Quantity: 1, Price: amount()}}, Timestamp: time.Now().UTC()}
	total, wrong := orderapi.Total(created.Items)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	created.TotalAmount = total
	return created
}

func TestStreamsAreRefusedWithProblems(t *testing.T) {
	t.Parallel()
	w, _ := startLive(t, gateway.EventStreams{})
	js := w.srv.JetStream(t)
	stream, err := js.Stream(t.Context(), streams.Orders.Name)
	if err == nil {
		err = stream.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	const path = "/v1/events?subject="
	for name, test := range map[string]struct {
		token, path, last string
		status            int
		code              endpoint.Code
	}{
		"nobody":           {"", path + "order.*.*", "", 401, endpoint.CodeUnauthenticated},
		"a bad token":      {"Bearer x", path + "order.*.*", "", 401, endpoint.CodeUnauthenticated},
		"a customer":       {"Bearer customer ada", path + "order.*.*", "", 403, endpoint.CodeForbidden},
		"no such order":    {"Bearer customer ada", path + "order.*.x", "", 503, endpoint.CodeUnavailable}, // nobody serves orders here
		"a wrong subject":  {"Bearer operator olga", path + "order.*", "", 400, endpoint.CodeInvalid},
		"beyond the end":   {"Bearer operator olga", path + "order.*.*", "ORDERS=99", 400, endpoint.CodeInvalid},
		"what was deleted": {"Bearer operator olga", path + "order.*.*", "ORDERS=0", 410, endpoint.CodeInvalid},
	} {
		a := w.do(t, http.MethodGet, test.path, "", "Content-Type", "", "Authorization", test.token, "Last-Event-ID", test.last)
		if p := a.problem(t); a.status != test.status || p.Code != test.code {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

func TestStopEndsStreamsOfEvents(t *testing.T) {
	t.Parallel()
	w, _ := startLive(t, gateway.EventStreams{})
	_, r := w.listen(t, "operator olga", "subject=order.*.*")
	begin := time.Now()
	if err := w.gateway.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if waited := time.Since(begin); waited > 5*time.Second {
		t.Errorf("Stop took %v", waited)
	}
	if m := readMessage(t, r); !strings.HasPrefix(m, "event: end\ndata: {\"reason\":\"shutdown\"") {
		t.Errorf("got %s", m)
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}

func TestStreamsOfEventsHaveSettings(t *testing.T) {
	t.Parallel()
	for _, wrong := range []gateway.EventStreams{
		{Heartbeat: time.Millisecond, Patience: time.Second, PerCaller: 1, Total: 1},
		{Heartbeat: time.Second, Patience: 2 * time.Hour, PerCaller: 1, Total: 1},
		{Heartbeat: time.Second, Patience: time.Second, PerCaller: -1, Total: 1},
		{Heartbeat: time.Second, Patience: time.Second, PerCaller: 1, Total: -1},
	} {
		if err := wrong.Validate(); err == nil {
			t.Errorf("%+v is fine", wrong)
		}
	}
	w, _ := startLive(t, gateway.EventStreams{PerCaller: 1})
	w.listen(t, "operator olga", "subject=order.*.*")
	if res, _ := w.listen(t, "operator olga", "subject=order.*.*"); res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" {
		t.Errorf("a second stream: %d %v", res.StatusCode, res.Header)
	}
}
