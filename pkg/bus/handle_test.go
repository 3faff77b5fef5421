package bus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
	"sluice/pkg/event"
)

var errFlaky = errors.New("flaky")

func TestHandleAndAck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	type seen struct {
		e    event.Of[placed]
		meta event.Metadata
		n, m int
	}
	got := make(chan seen, 1)
	c := start(t, w.js, bus.Config{}, bus.On(func(ctx context.Context, e event.Of[placed]) error {
		n, most := bus.Attempt(ctx)
		got <- seen{e, event.MetadataFrom(ctx), n, most}
		return nil
	}))
	sent := place(t, w.js, "o-1", 7)
	s := receive(t, got, 1)[0]
	if s.e.Data.N != 7 || s.e.ID != sent.ID || s.e.Sequence != sent.Sequence || s.e.Stream != "ORDERS" {
		t.Errorf("handled %+v", s.e)
	}
	if s.meta.CausationID != sent.ID || s.meta.CorrelationID != "c-o-1" || s.meta.UserID != "ada" {
		t.Errorf("metadata %+v", s.meta)
	}
	if s.n != 1 || s.m != 4 {
		t.Errorf("attempt %d of %d", s.n, s.m)
	}
	w.settled(t, sent.Sequence)
	if err := c.Health(); err != nil {
		t.Error(err)
	}
	stop(t, c)
	if c.Health() == nil {
		t.Error("a stopped consumer is healthy")
	}
}

func TestRetryThenSuccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	attempts := make(chan int, 10)
	start(t, w.js, bus.Config{}, bus.On(func(ctx context.Context, _ event.Of[placed]) error {
		n, _ := bus.Attempt(ctx)
		attempts <- n
		switch n {
		case 1:
			return errFlaky
		case 2:
			return bus.RetryAfter(time.Millisecond, errFlaky)
		}
		return nil
	}))
	sent := place(t, w.js, "o-1", 1)
	for i, n := range receive(t, attempts, 3) {
		if n != i+1 {
			t.Errorf("attempt %d calls itself %d", i+1, n)
		}
	}
	w.settled(t, sent.Sequence)
	w.letters(t, 0)
}

func TestDropAndExhaustion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := time.Now()
	start(t, w.js, bus.Config{}, bus.On(func(ctx context.Context, e event.Of[placed]) error {
		switch e.Data.N {
		case 1:
			return bus.Drop(errors.New("no such\nuser"))
		case 2:
			return errFlaky
		case 3:
			panic("boom\nsecond line")
		}
		return nil
	}))
	one := place(t, w.js, "o-1", 1)
	first := w.letters(t, 1)[0]
	two := place(t, w.js, "o-2", 2)
	second := w.letters(t, 2)[1]
	three := place(t, w.js, "o-3", 3)
	third := w.letters(t, 3)[2]
	w.settled(t, three.Sequence)
	for _, x := range []struct {
		letter   bus.DeadLetter
		sent     event.Event
		reason   bus.Reason
		text     string
		attempts int
	}{
		{first, one, bus.ReasonDropped, "no such user", 1},
		{second, two, bus.ReasonAttempts, "flaky", 4},
		{third, three, bus.ReasonAttempts, "handler panicked: boom", 4},
	} {
		l := x.letter
		if l.Reason != x.reason || l.Error != x.text || l.Attempts != x.attempts {
			t.Errorf("letter %q %q after %d attempts, want %q %q after %d", l.Reason, l.Error, l.Attempts, x.reason, x.text, x.attempts)
		}
		if l.Stream != "ORDERS" || l.Sequence != x.sent.Sequence || l.Subject != x.sent.HistorySubject() || l.Consumer != "mailer" || !event.IsUUID(l.ID) {
			t.Errorf("letter says it is from %+v", l)
		}
		if !bytes.Equal(l.Data, x.sent.Data) {
			t.Errorf("letter has the data %s", l.Data)
		}
		if e, err := event.Decode(l.Header, l.Data); err != nil || e.ID != x.sent.ID {
			t.Errorf("letter holds event %+v, %v", e, err)
		}
		if l.FirstAt.Before(before) || l.LastAt.Before(l.FirstAt) {
			t.Errorf("failed from %v to %v", l.FirstAt, l.LastAt)
		}
	}
}

// A lane in trouble holds up only itself, even when handlers run one at a time.
func TestPoisonBlocksNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := group
	g.Concurrency, g.MinBackoff, g.MaxBackoff = 1, time.Hour, time.Hour
	handled := make(chan string, 100)
	c := bus.Consume(w.js, g, bus.Config{}, bus.On(func(_ context.Context, e event.Of[placed]) error {
		if e.Subject == "bad" {
			return errFlaky
		}
		handled <- e.Subject
		return nil
	}))
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	place(t, w.js, "bad", 0)
	for i := range 20 {
		place(t, w.js, "bad", i)
		place(t, w.js, "good", i)
	}
	receive(t, handled, 20)
	stop(t, c)
}

func TestUndecodableAndForeign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	start(t, w.js, bus.Config{}, bus.On(func(context.Context, event.Of[placed]) error { return nil }))
	for _, m := range []*nats.Msg{
		{Subject: "order.placed.x", Data: []byte("garbage")},
		{Subject: "order.placed.x", Data: []byte(`{"specversion":"1.0","id":"1","source":"/x","type":"order.placed","data":{"n":"seven"}}`)},
		{Subject: "order.placed.x", Data: []byte(`{"specversion":"1.0","id":"1","source":"/x","type":"order.eaten","data":{}}`)},
	} {
		if _, err := w.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	w.settled(t, 3)
	for i, l := range w.letters(t, 3) {
		want := []bus.Reason{bus.ReasonUndecodable, bus.ReasonUndecodable, bus.ReasonForeign}[i]
		if l.Reason != want || l.Attempts != 1 {
			t.Errorf("letter %d: %s after %d attempts: %s", i, l.Reason, l.Attempts, l.Error)
		}
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	handled := make(chan int, 10)
	tries := make(chan string, 100)
	read := func(_ context.Context, msg jetstream.Msg) (event.Event, bool, error) {
		e, err := event.Decode(msg.Headers(), msg.Data())
		tries <- e.Subject
		switch e.Subject {
		case "foreign":
			return e, false, nil
		case "newer":
			return e, true, event.ErrNewerVersion
		}
		return e, true, err
	}
	start(t, w.js, bus.Config{Read: read}, bus.On(func(_ context.Context, e event.Of[placed]) error {
		handled <- e.Data.N
		return nil
	}))
	place(t, w.js, "foreign", 1)
	place(t, w.js, "newer", 2)
	last := place(t, w.js, "fine", 3)
	w.settled(t, last.Sequence)
	if n := receive(t, handled, 1)[0]; n != 3 {
		t.Errorf("handled %d", n)
	}
	if l := w.letters(t, 1)[0]; l.Reason != bus.ReasonAttempts || l.Attempts != 4 || !strings.Contains(l.Error, "newer") {
		t.Errorf("letter %+v", l)
	}
	if n := len(tries); n != 6 {
		t.Errorf("%d reads", n)
	}
}

func TestOnMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, everything)
	got := make(chan bus.Message, 10)
	start(t, w.js, bus.Config{}, bus.OnMessage(func(_ context.Context, m bus.Message) error {
		got <- m
		return nil
	}))
	if _, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: "order.what", Header: nats.Header{"x": {"1"}}, Data: []byte("any")}); err != nil {
		t.Fatal(err)
	}
	m := receive(t, got, 1)[0]
	if m.Subject != "order.what" || m.Header.Get("x") != "1" || string(m.Data) != "any" || m.Stream != "ORDERS" || m.Sequence != 1 || m.Attempt != 1 || m.Time.IsZero() {
		t.Errorf("message %+v", m)
	}
}

func TestPanicIsLoggedWithItsStack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var log syncBuffer
	start(t, w.js, bus.Config{Log: slog.New(slog.NewJSONHandler(&log, nil))}, bus.On(func(context.Context, event.Of[placed]) error {
		panic("boom")
	}))
	place(t, w.js, "o-1", 1)
	w.letters(t, 1)
	for _, want := range []string{"handler panicked", "handle_test.go", "message became a dead letter"} {
		eventually(t, func() string {
			if !strings.Contains(log.String(), want) {
				return "the log lacks " + want + ": " + log.String()
			}
			return ""
		})
	}
}

func TestHealthNamesTheStuckMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := group
	g.MaxAttempts = 1000
	c := bus.Consume(w.js, g, bus.Config{}, bus.On(func(context.Context, event.Of[placed]) error { return errFlaky }))
	if c.Health() == nil {
		t.Error("healthy before it starts")
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	place(t, w.js, "o-1", 1)
	eventually(t, func() string {
		if err := c.Health(); err == nil || !strings.Contains(err.Error(), "order.placed.o-1") || !errors.Is(err, errFlaky) {
			return "health does not name the message"
		}
		return ""
	})
	stop(t, c)
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	type other struct{ placed }
	on := bus.On(func(context.Context, event.Of[placed]) error { return nil })
	raw := bus.OnMessage(func(context.Context, bus.Message) error { return nil })
	for name, x := range map[string]struct {
		adjust   func(*jetstream.ConsumerConfig)
		handlers []bus.Handler
		want     string
	}{
		"absent":            {func(c *jetstream.ConsumerConfig) { c.Durable = "other" }, []bus.Handler{on}, "consumer not found"},
		"no explicit acks":  {func(c *jetstream.ConsumerConfig) { c.AckPolicy = jetstream.AckAllPolicy }, []bus.Handler{on}, "must be explicit"},
		"max_deliver":       {func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 5 }, []bus.Handler{on}, "max_deliver 5"},
		"no bound":          {func(c *jetstream.ConsumerConfig) { c.MaxAckPending = -1 }, []bus.Handler{on}, "max_ack_pending"},
		"headers only":      {func(c *jetstream.ConsumerConfig) { c.HeadersOnly = true }, []bus.Handler{on}, "headers only"},
		"no filter":         {everything, []bus.Handler{on}, "no filter"},
		"wide filter":       {func(c *jetstream.ConsumerConfig) { c.FilterSubjects = []string{"order.*.*"} }, []bus.Handler{on}, "order.*.*"},
		"unhandled":         {func(c *jetstream.ConsumerConfig) { c.FilterSubjects = []string{"order.placed.*", "order.eaten.*"} }, []bus.Handler{on}, "no handler for [order.eaten.*]"},
		"not delivered":     {func(c *jetstream.ConsumerConfig) { c.FilterSubjects = []string{"order.eaten.*"} }, []bus.Handler{on}, "no filter for [order.placed]"},
		"no handler":        {everything, nil, "no handlers"},
		"zero handler":      {everything, []bus.Handler{{}}, "zero Handler"},
		"two for one type":  {everything, []bus.Handler{on, bus.On(func(context.Context, event.Of[other]) error { return nil })}, "two handlers"},
		"mixed":             {everything, []bus.Handler{on, raw}, "stands alone"},
		"mixed, other turn": {everything, []bus.Handler{raw, on}, "stands alone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, x.adjust)
			err := bus.Consume(w.js, group, bus.Config{}, x.handlers...).Start(t.Context())
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Fatalf("Start: %v, want something about %q", err, x.want)
			}
		})
	}
}
