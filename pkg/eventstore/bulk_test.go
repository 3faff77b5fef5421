package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

// ingesting starts a server with a stream that has fast ingest, or has it not.
func ingesting(t testing.TB, fast bool) (*natstest.Server, *eventstore.Store) {
	t.Helper()
	srv := natstest.Start(t)
	js := srv.JetStream(t)
	config := eventstore.HistoryConfig(things)
	config.AllowBatchPublish = fast
	if _, err := js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	return srv, eventstore.New(js, things, types)
}

// kinds of stream to import to.
var kinds = map[string]bool{"fast": true, "side by side": false}

func each(events []event.Event) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// mixed returns n events over some aggregates, and what each history then is.
func mixed(t testing.TB, n, aggregates int) ([]event.Event, map[string]string) {
	t.Helper()
	var events []event.Event
	want := make(map[string]string)
	for i := range n {
		id, name := fmt.Sprint("a", i%aggregates), fmt.Sprint("n", i)
		want[id] = strings.TrimSpace(want[id] + " " + name)
		events = append(events, build(t, id, named{Name: name})...)
	}
	return events, want
}

func wantHistories(t *testing.T, s *eventstore.Store, want map[string]string) {
	t.Helper()
	got := make(map[string]string)
	for e, err := range s.OfType(t.Context()) { // what readers take for genuine
		if err != nil {
			t.Fatal(err)
		}
		got[e.Subject] = strings.TrimSpace(got[e.Subject] + " " + e.Data.(named).Name)
	}
	for id, names := range want {
		wantHistory(t, s, id, names)
		if got[id] != names {
			t.Errorf("a replay gives %q for %s, want %q", got[id], id, names)
		}
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	for name, fast := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, s := ingesting(t, fast)
			events, want := mixed(t, 9000, 70)
			tail := mustAppend(t, s, "a3", eventstore.Tail{}, named{Name: "old"}, named{Name: "older"}) // was there before
			want["a3"] = "old older " + want["a3"]
			var progress []int
			if err := s.Import(t.Context(), each(events), func(n int) { progress = append(progress, n) }); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(progress) != "[4096 8192 9000]" {
				t.Errorf("progress was %v", progress)
			}
			wantHistories(t, s, want)
			// The same again changes nothing, and the aggregates go on.
			if err := s.Import(t.Context(), each(events[:5000]), nil); err != nil {
				t.Fatal(err)
			}
			wantHistories(t, s, want)
			if _, err := s.Append(t.Context(), "a3", tail, build(t, "a3", named{Name: "late"})); !errors.Is(err, eventstore.ErrConflict) {
				t.Errorf("append at the old tail: %v", err)
			}
			mustAppend(t, s, "a3", wantAny(t, s, "a3"), named{Name: "next"})
		})
	}
}

func TestImportAmongWriters(t *testing.T) {
	t.Parallel()
	for name, fast := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, s := ingesting(t, fast)
			events, want := mixed(t, 3000, 40)
			live := eventstore.New(srv.JetStream(t), things, types)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan string)
			go func() {
				var (
					tail  eventstore.Tail
					names []string
				)
				for i := 0; ctx.Err() == nil; i++ {
					names = append(names, fmt.Sprint("live", i))
					tail = mustAppend(t, live, "live", tail, named{Name: names[i]})
				}
				done <- strings.Join(names, " ")
			}()
			err := s.Import(t.Context(), each(events), nil)
			cancel()
			want["live"] = <-done
			if err != nil {
				t.Fatal(err)
			}
			wantHistories(t, s, want)
		})
	}
}

func TestImportOverCutConnections(t *testing.T) {
	t.Parallel()
	for name, fast := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, s := ingesting(t, fast)
			events, want := mixed(t, 9000, 50)
			proxy := srv.Proxy(t)
			through := eventstore.New(natstest.JetStream(t, natstest.Dial(t, proxy.URL())), things, types)
			err := through.Import(t.Context(), func(yield func(event.Event, error) bool) {
				for i, e := range events {
					switch i {
					case 2000:
						proxy.Cut()
					}
					if !yield(e, nil) {
						return
					}
				}
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			wantHistories(t, s, want)
		})
	}
}

func TestImportSaysHowFarItCame(t *testing.T) {
	t.Parallel()
	for name, fast := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, s := ingesting(t, fast)
			events, want := mixed(t, 5000, 30)
			broken := append([]event.Event(nil), events...)
			broken[4500].Type = "other.made"
			var failed *eventstore.ImportError
			if err := s.Import(t.Context(), each(broken), nil); !errors.As(err, &failed) || !errors.Is(err, event.ErrInvalid) || failed.Stored != 4500 {
				t.Fatalf("a foreign event among them: %v", err)
			}
			source := errors.New("the file ends")
			err := s.Import(t.Context(), func(yield func(event.Event, error) bool) {
				for _, e := range events[:4600] {
					if !yield(e, nil) {
						return
					}
				}
				yield(event.Event{}, source)
			}, nil)
			if !errors.As(err, &failed) || !errors.Is(err, source) || failed.Stored != 4600 {
				t.Fatalf("a source that fails: %v", err)
			}
			if err := s.Import(t.Context(), each(events[failed.Stored:]), nil); err != nil {
				t.Fatal(err)
			}
			wantHistories(t, s, want)

			srv.Stop()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if err := s.Import(ctx, each(events), nil); !errors.As(err, &failed) || failed.Stored != 0 {
				t.Errorf("without a server: %v", err)
			}
		})
	}
}
