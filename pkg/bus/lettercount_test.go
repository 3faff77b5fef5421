package bus_test

import (
	"fmt"
	"maps"
	"testing"

	"sluice/pkg/bus"
)

// direct lets the letters be counted or, without, read only.
func (w *world) direct(t *testing.T, allowed bool) {
	t.Helper()
	stream, err := w.js.Stream(t.Context(), bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.AllowDirect = allowed
	if _, err := w.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

func TestLettersAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.direct(t, true)
	box, counter := bus.NewLetterbox(w.js), bus.NewLetterCounter(w.js)
	check := func(mailer, packer uint64) {
		t.Helper()
		got, err := counter.Count(t.Context(), "mailer", "packer", "nobody")
		if want := map[string]uint64{"mailer": mailer, "packer": packer, "nobody": 0}; err != nil || !maps.Equal(got, want) {
			t.Errorf("counted %v, %v, want %v", got, err, want)
		}
	}
	check(0, 0)
	const n = 150
	for i := 1; i <= n; i++ {
		publishLetter(t, w, letterOf(i, "mailer", bus.ReasonDropped, fmt.Sprintf("order.placed.%d", i)))
	}
	check(n, 0)
	publishLetter(t, w, letterOf(n+1, "packer", bus.ReasonAttempts, "order.placed.a"))
	check(n, 1)
	big := letterOf(n+2, "packer", bus.ReasonDropped, "order.placed.b")
	big.Data = make([]byte, 200_000)
	publishLetter(t, w, big)
	check(n, 2)
	for _, i := range []uint64{1, 75} {
		if err := box.Discard(t.Context(), idOf("mailer", i)); err != nil {
			t.Fatal(err)
		}
	}
	check(n-2, 2)
	// On its way back to a handler it is a letter still, and one only.
	if err := w.js.Conn().Publish("deadletter.redrive.packer.x", nil); err != nil {
		t.Fatal(err)
	}
	if err := w.js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	check(n-2, 2)
}

// What has not changed is not counted anew.
func TestCountingLettersAgainCostsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.direct(t, true)
	publishLetter(t, w, letterOf(1, "mailer", bus.ReasonDropped, "order.placed.a"))
	counts, err := w.js.Conn().SubscribeSync("$JS.API.DIRECT.GET." + bus.DeadLetterStream)
	if err != nil {
		t.Fatal(err)
	}
	counter := bus.NewLetterCounter(w.js)
	count := func() {
		t.Helper()
		if got, err := counter.Count(t.Context(), "mailer"); err != nil || got["mailer"] != 1 {
			t.Fatalf("counted %v, %v", got, err)
		}
	}
	asked := func() int {
		t.Helper()
		if err := w.js.Conn().Flush(); err != nil {
			t.Fatal(err)
		}
		n, _, err := counts.Pending()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	count()
	count()
	if n := asked(); n != 1 {
		t.Errorf("it took %d counts", n)
	}
	publishLetter(t, w, letterOf(2, "packer", bus.ReasonDropped, "order.placed.a"))
	count()
	if n := asked(); n != 2 {
		t.Errorf("it took %d counts after a change", n)
	}
}

// What nobody says is no number.
func TestLettersThatCannotBeCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	publishLetter(t, w, letterOf(1, "mailer", bus.ReasonDropped, "order.placed.a"))
	counter := bus.NewLetterCounter(w.js)
	if got, err := counter.Count(t.Context(), "mailer"); err == nil {
		t.Errorf("without direct gets: %v", got)
	}
	if err := w.js.DeleteStream(t.Context(), bus.DeadLetterStream); err != nil {
		t.Fatal(err)
	}
	if got, err := counter.Count(t.Context(), "mailer"); err == nil {
		t.Errorf("without the stream: %v", got)
	}
	w.js.Conn().Close()
	if got, err := counter.Count(t.Context(), "mailer"); err == nil {
		t.Errorf("without a connection: %v", got)
	}
}
