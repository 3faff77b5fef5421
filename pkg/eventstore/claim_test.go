package eventstore_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

func TestClaims(t *testing.T) {
	t.Parallel()
	s := newStore(t, natstest.Start(t))
	email := eventstore.Claim{Name: "email", Hash: "h1"}
	tail, err := s.Append(t.Context(), "a", eventstore.Tail{}, build(t, "a", made{Name: "a"}), email)
	if err != nil {
		t.Fatal(err)
	}
	if loaded := wantHistory(t, s, "a", "a"); loaded.Sequence != tail.Sequence || loaded.Last != tail.Last {
		t.Errorf("tail is %v, loaded %v", tail, loaded)
	}
	var taken *eventstore.TakenError
	_, err = s.Append(t.Context(), "b", eventstore.Tail{}, build(t, "b", made{Name: "b"}), eventstore.Claim{Name: "username", Hash: "u"}, email)
	if !errors.As(err, &taken) || taken.Claim != "email" || taken.Holder != "a" {
		t.Fatalf("second claim: %v", err)
	}
	wantHistory(t, s, "b", "")

	release := email
	release.Release = true
	if _, err = s.Append(t.Context(), "a", tail, build(t, "a", named{Name: "a2"}), release); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), "b", eventstore.Tail{}, build(t, "b", made{Name: "b"}), email); err != nil {
		t.Fatalf("claim after release: %v", err)
	}
	for _, bad := range []eventstore.Claim{{Name: "e.mail", Hash: "x"}, {Name: "email", Hash: "a.b"}, {Name: "email", Hash: "*"}, {Name: "", Hash: "x"}} {
		if _, err := s.Append(t.Context(), "c", eventstore.Tail{}, build(t, "c", made{Name: "c"}), bad); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("claim %+v: %v", bad, err)
		}
	}
}

// That nobody holds a claim is not believed of a replica that may be behind: who has just
// signed up can log in.
func TestHolderOnAReplicaThatIsBehind(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	s := newStore(t, srv)
	reader := eventstore.New(srv.Behind(t), things, types)
	email := eventstore.Claim{Name: "email", Hash: "h1"}
	if id, held, err := reader.Holder(t.Context(), email); held || id != "" || err != nil {
		t.Fatalf("at first: %q %v %v", id, held, err)
	}
	tail, err := s.Append(t.Context(), "a", eventstore.Tail{}, build(t, "a", made{Name: "a"}), email)
	if err != nil {
		t.Fatal(err)
	}
	if id, held, err := reader.Holder(t.Context(), email); id != "a" || !held || err != nil {
		t.Errorf("once it is claimed: %q %v %v", id, held, err)
	}
	email.Release = true
	if _, err := s.Append(t.Context(), "a", tail, build(t, "a", named{Name: "b"}), email); err != nil {
		t.Fatal(err)
	}
	if id, held, err := reader.Holder(t.Context(), email); held || id != "" || err != nil {
		t.Errorf("once it is released: %q %v %v", id, held, err)
	}
}

func TestClaimRaceHasOneWinner(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	newStore(t, srv)
	for round := range 20 {
		var (
			wg   sync.WaitGroup
			wins atomic.Int32
		)
		for i := range 4 {
			s := eventstore.New(srv.JetStream(t), things, types)
			id := fmt.Sprintf("r%d-%d", round, i)
			events := build(t, id, made{Name: id})
			wg.Go(func() {
				_, err := s.Append(t.Context(), id, eventstore.Tail{}, events, eventstore.Claim{Name: "email", Hash: fmt.Sprint(round)})
				switch {
				case err == nil:
					wins.Add(1)
				case !errors.Is(err, eventstore.ErrTaken):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if wins.Load() != 1 {
			t.Fatalf("round %d has %d winners", round, wins.Load())
		}
	}
}
