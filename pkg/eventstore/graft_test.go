package eventstore_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

// TestAConflictIsNeverAStrangers: a message that sits on garbage, with the version that the
// aggregate has and a true expectation, is not what a conflict tells to go on from.
func TestAConflictIsNeverAStrangers(t *testing.T) {
	t.Parallel()
	s := newStore(t, natstest.Start(t))
	tail := mustAppend(t, s, "a", eventstore.Tail{}, made{Name: "0"})
	tail = mustAppend(t, s, "a", tail, named{Name: "1"})
	under := garbage(t, s, "thing.named.a")
	for _, version := range []uint64{2, 3} {
		e := build(t, "a", named{Name: "evil"})[0]
		e.Version, e.Step, e.Previous = version, 1, []uint64{under}
		header, body := event.Encode(e)
		header[jetstream.ExpectedLastSubjSeqHeader] = []string{fmt.Sprint(under)}
		header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{things.Of("a")}
		ack, err := s.JetStream().PublishMsg(t.Context(), &nats.Msg{Subject: e.HistorySubject(), Header: header, Data: body})
		if err != nil {
			t.Fatal(err)
		}
		under = ack.Sequence

		events := build(t, "a", named{Name: "2"})
		_, err = s.Append(t.Context(), "a", tail, events)
		var conflict *eventstore.ConflictError
		if !errors.As(err, &conflict) || len(conflict.Events) > 0 || conflict.Tail.Version != 2 || conflict.Tail.Sequence != tail.Sequence || conflict.Tail.Last != under {
			t.Fatalf("with a stranger's version %d: %+v", version, conflict)
		}
	}
	_, err := s.Append(t.Context(), "a", tail, build(t, "a", named{Name: "2"}))
	var conflict *eventstore.ConflictError
	if !errors.As(err, &conflict) {
		t.Fatal(err)
	}
	mustAppend(t, s, "a", conflict.Tail, named{Name: "2"})
	wantHistory(t, s, "a", "0 1 2")
}
