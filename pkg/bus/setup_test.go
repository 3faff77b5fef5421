package bus_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/pkg/natstest"
)

type placed struct {
	N int `json:"n"`
}

func (placed) EventType() string { return "order.placed" }

var events = event.NewRegistry("order", event.Define[placed](1))

const ackWait = time.Second

// world is a server with a stream of orders, one durable consumer and the dead letters.
type world struct {
	*natstest.Server
	js jetstream.JetStream
}

var group = bus.Group{
	Stream: "ORDERS", Name: "mailer",
	MaxAttempts: 4, MinBackoff: 5 * time.Millisecond, MaxBackoff: 40 * time.Millisecond,
}

func newWorld(t *testing.T, adjust ...func(*jetstream.ConsumerConfig)) *world {
	t.Helper()
	srv := natstest.Start(t)
	w := &world{Server: srv, js: srv.JetStream(t)}
	for _, cfg := range []jetstream.StreamConfig{
		{Name: "ORDERS", Subjects: []string{"order.>"}},
		{Name: bus.DeadLetterStream, Subjects: []string{"deadletter.>"}},
	} {
		if _, err := w.js.CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	w.createConsumer(t, adjust...)
	return w
}

func (w *world) createConsumer(t *testing.T, adjust ...func(*jetstream.ConsumerConfig)) {
	t.Helper()
	cfg := jetstream.ConsumerConfig{
		Durable: group.Name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait,
		MaxAckPending: 1000, FilterSubjects: []string{"order.placed.*"},
	}
	for _, a := range adjust {
		a(&cfg)
	}
	if _, err := w.js.CreateConsumer(t.Context(), "ORDERS", cfg); err != nil {
		t.Fatal(err)
	}
}

// everything makes the consumer one for whole messages.
func everything(cfg *jetstream.ConsumerConfig) { cfg.FilterSubjects = nil }

func place(t *testing.T, js jetstream.JetStream, id string, n int) event.Event {
	t.Helper()
	e, err := events.New(event.WithMetadata(t.Context(), event.Metadata{CorrelationID: "c-" + id, UserID: "ada"}), id, placed{N: n})
	if err != nil {
		t.Fatal(err)
	}
	header, data := event.Encode(e)
	ack, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: e.HistorySubject(), Header: header, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	e.Sequence = ack.Sequence
	return e
}

// start runs a consumer until the test ends.
func start(t *testing.T, js jetstream.JetStream, cfg bus.Config, handlers ...bus.Handler) *bus.Consumer {
	t.Helper()
	c := bus.Consume(js, group, cfg, handlers...)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, c) })
	return c
}

func stop(t *testing.T, c *bus.Consumer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// receive returns the next n values of ch.
func receive[T any](t *testing.T, ch <-chan T, n int) []T {
	t.Helper()
	deadline := time.After(20 * time.Second)
	got := make([]T, 0, n)
	for len(got) < n {
		select {
		case v := <-ch:
			got = append(got, v)
		case <-deadline:
			t.Fatalf("%d of %d arrived in time: %v", len(got), n, got)
		}
	}
	return got
}

// eventually waits until check returns "", and fails with what it returned last.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(20 * time.Second)
	for {
		problem := check()
		if problem == "" {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal(problem)
		}
	}
}

// settled waits until the server has an answer for all messages up to sequence.
func (w *world) settled(t *testing.T, sequence uint64) {
	t.Helper()
	eventually(t, func() string {
		consumer, err := w.js.Consumer(t.Context(), "ORDERS", group.Name)
		if err != nil {
			return err.Error()
		}
		info := consumer.CachedInfo()
		if info.NumAckPending != 0 || info.AckFloor.Stream < sequence {
			return "pending " + strconv.Itoa(info.NumAckPending) + ", floor " + strconv.FormatUint(info.AckFloor.Stream, 10)
		}
		return ""
	})
}

// acked waits until, of the messages up to sequence, all are delivered and as many are
// acknowledged as count says.
func (w *world) acked(t *testing.T, sequence uint64, count func() int) {
	t.Helper()
	eventually(t, func() string {
		consumer, err := w.js.Consumer(t.Context(), "ORDERS", group.Name)
		if err != nil {
			return err.Error()
		}
		info := consumer.CachedInfo()
		if info.Delivered.Stream < sequence || int(info.Delivered.Stream)-info.NumAckPending != count() {
			return "what was handled is not acknowledged"
		}
		return ""
	})
}

// letters waits for n dead letters and returns them.
func (w *world) letters(t *testing.T, n int) []bus.DeadLetter {
	t.Helper()
	stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		info, err := stream.Info(t.Context())
		if err != nil || info.State.Msgs < uint64(n) {
			return "too few dead letters"
		}
		return ""
	})
	letters := make([]bus.DeadLetter, n)
	for i := range letters {
		raw, err := stream.GetMsg(t.Context(), uint64(i)+1)
		if err != nil {
			t.Fatal(err)
		}
		if letters[i], err = bus.ParseDeadLetter(raw.Header, raw.Data); err != nil {
			t.Fatal(err)
		}
		if want := "deadletter.mailer." + letters[i].Subject; raw.Subject != want {
			t.Errorf("subject of the letter is %s, not %s", raw.Subject, want)
		}
	}
	return letters
}
