package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/aggregate"
	"sluice/pkg/bus"
	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// consume runs handlers on a durable consumer of the group until the test ends.
func (w *world) consume(t *testing.T, g bus.Group, filter string, key func(bus.Message) string, h bus.Handler) {
	t.Helper()
	w.consumeWith(t, g, filter, bus.Config{Key: key}, h)
}

func (w *world) consumeWith(t *testing.T, g bus.Group, filter string, cfg bus.Config, h bus.Handler) {
	t.Helper()
	_, err := w.js.CreateConsumer(t.Context(), g.Stream, jetstream.ConsumerConfig{
		Durable: g.Name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 5 * time.Second, MaxAckPending: 100, FilterSubject: filter,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := bus.Consume(w.js, g, cfg, h)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
		defer cancel()
		if err := c.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
}

// settled waits until the group has an answer for all of its stream.
func (w *world) settled(t *testing.T, g bus.Group) {
	t.Helper()
	eventually(t, func() string {
		consumer, err := w.js.Consumer(t.Context(), g.Stream, g.Name)
		if err != nil {
			return err.Error()
		}
		// That nothing is pending is not enough: the consumer hears of a message a moment
		// after its publisher.
		info := consumer.CachedInfo()
		last, err := w.last(t.Context(), g.Stream, info.Config.FilterSubject)
		if err != nil {
			return err.Error()
		}
		if info.AckFloor.Stream < last {
			return fmt.Sprintf("settled up to %d of %d", info.AckFloor.Stream, last)
		}
		return ""
	})
}

// last returns the sequence of the last message on a subject that is there, 0 without any.
func (w *world) last(ctx context.Context, stream, subject string) (uint64, error) {
	s, err := w.js.Stream(ctx, stream)
	if err != nil {
		return 0, err
	}
	m, err := s.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return m.Sequence, nil
}

// letters returns the dead letters.
func (w *world) letters(t *testing.T) []bus.DeadLetter {
	t.Helper()
	stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	var letters []bus.DeadLetter
	for sequence := range stream.CachedInfo().State.LastSeq {
		raw, err := stream.GetMsg(t.Context(), sequence+1)
		if err != nil {
			t.Fatal(err)
		}
		letter, err := bus.ParseDeadLetter(raw.Header, raw.Data)
		if err != nil {
			t.Fatal(err)
		}
		letters = append(letters, letter)
	}
	return letters
}

func (w *world) publish(t *testing.T, subject string, header nats.Header, data string) uint64 {
	t.Helper()
	ack, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Header: header, Data: []byte(data)})
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

type exploded struct{}

func (exploded) EventType() string { return "counter.exploded" }

func TestGuard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.do(t, "a", open(10))
	w.do(t, "a", count(2))
	foreign := w.publish(t, "counter.counted.a", nats.Header{"X-Reason": {"mischief"}}, "garbage")
	original, err := w.js.Stream(t.Context(), counters.Name)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := original.GetMsg(t.Context(), first.Position+2)
	if err != nil {
		t.Fatal(err)
	}
	for name := range copied.Header {
		if strings.HasPrefix(name, "Nats-") {
			delete(copied.Header, name)
		}
	}
	duplicate := w.publish(t, copied.Subject, copied.Header, string(copied.Data))
	w.do(t, "a", count(1))

	// A later release, with a type and a version that this one does not know.
	later := eventstore.New(w.js, counters, event.NewRegistry("counter", event.Define[opened](1), event.Define[counted](2, event.From(1, func(c counted) counted { return c })), event.Define[exploded](1)))
	for id, data := range map[string]event.Data{"b": exploded{}, "c": counted{By: 1}} {
		e, err := later.Registry().New(t.Context(), id, data)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := later.Append(t.Context(), id, eventstore.Tail{}, []event.Event{e}); err != nil {
			t.Fatal(err)
		}
	}

	group := bus.Group{Stream: counters.Name, Name: "counter-guard"}
	w.consume(t, group, counters.History(), nil, aggregate.Guard(w.store, group, slog.New(slog.DiscardHandler)))
	w.settled(t, group)

	letters := w.letters(t)
	if len(letters) != 2 {
		t.Fatalf("there are %d dead letters: %+v", len(letters), letters)
	}
	for _, l := range letters {
		if l.Consumer != group.Name || l.Reason != bus.ReasonForeign || l.Stream != counters.Name || l.Subject != "counter.counted.a" || l.Error == "" ||
			l.Sequence == foreign && (string(l.Data) != "garbage" || l.Header.Get("X-Reason") != "mischief") {
			t.Errorf("letter: %+v", l)
		}
	}
	for _, sequence := range []uint64{foreign, duplicate} {
		if _, err := original.GetMsg(t.Context(), sequence); !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Errorf("message %d is still there: %v", sequence, err)
		}
	}
	info, err := original.Info(t.Context())
	if err != nil || info.State.Msgs != 6 {
		t.Errorf("history has %d messages, %v; 6 are genuine", info.State.Msgs, err)
	}
	w.wantCount(t, "a", 3, 4)

	// Foreign messages that come later, one to begin with on a new counter.
	for _, subject := range []string{"counter.opened.d", "counter.counted.a", "counter.exploded.a"} {
		w.publish(t, subject, nil, "{}")
	}
	eventually(t, func() string {
		if n := len(w.letters(t)); n != 5 {
			return fmt.Sprint(n, " dead letters")
		}
		return ""
	})
	w.settled(t, group)
	w.do(t, "d", open(1))
	w.wantCount(t, "d", 0, 1)
	w.wantCount(t, "a", 3, 4)
}
