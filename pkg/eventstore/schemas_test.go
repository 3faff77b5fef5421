package eventstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
)

// Other releases' ideas of what was made.

type coloured struct {
	Name   string `json:"name"`
	Colour string `json:"colour,omitempty"`
}

func (coloured) EventType() string { return "thing.made" }

type numbered struct {
	Name int `json:"name"`
}

func (numbered) EventType() string { return "thing.made" }

type titled struct {
	Title string `json:"title"`
}

func (titled) EventType() string { return "thing.made" }

func (t titled) Validate() error {
	if t.Title == "Dr. Evil" {
		return errors.New("not him")
	}
	return nil
}

// titledNow is the release in which things got a title instead of a name.
var titledNow = event.NewRegistry("thing",
	event.Define[titled](2, event.From(1, func(m made) titled { return titled{Title: "Dr. " + m.Name} })),
	event.Define[named](1))

func schemaBucket(t *testing.T, js jetstream.JetStream) jetstream.KeyValue {
	t.Helper()
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "schemas"})
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func TestPublishSchemas(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	kv := schemaBucket(t, js)
	for _, c := range []struct {
		name     string
		registry *event.Registry
		refused  string // what the error says
		has      string // in the schema of v1
		revision uint64 // of the schema of v1
	}{
		{name: "first", registry: types, has: `"required":["name"]`, revision: 1},
		{name: "again", registry: types, revision: 1},
		{name: "retyped", registry: event.NewRegistry("thing", event.Define[numbered](1)), refused: "name is of another type (was string, is integer)", revision: 1},
		{name: "removed", registry: event.NewRegistry("thing", event.Define[titled](1)), refused: "raise the version to 2 and add an upcaster", revision: 1},
		{name: "optional member", registry: event.NewRegistry("thing", event.Define[coloured](1)), has: `"colour"`, revision: 3},
		{name: "an older release comes back", registry: types, has: `"colour"`, revision: 3},
		{name: "raised", registry: titledNow, revision: 3},
	} {
		err := eventstore.New(js, things, c.registry).PublishSchemas(t.Context(), "schemas")
		var changed *event.SchemaError
		if c.refused == "" && err != nil || c.refused != "" && (!errors.As(err, &changed) || !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%s: %v", c.name, err)
		}
		entry, err := kv.Get(t.Context(), "thing.made.v1")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(entry.Value()), c.has) || entry.Revision() != c.revision {
			t.Errorf("%s: the bucket has %s at revision %d", c.name, entry.Value(), entry.Revision())
		}
	}
	if entry, err := kv.Get(t.Context(), "thing.made.v2"); err != nil || !strings.Contains(string(entry.Value()), `"required":["title"]`) {
		t.Errorf("the schema of v2: %v", err)
	}
	if err := eventstore.New(js, things, types).PublishSchemas(t.Context(), "absent"); !errors.Is(err, jetstream.ErrBucketNotFound) {
		t.Errorf("without a bucket: %v", err)
	}
}

// Instances of several releases that start at once agree on the one that has more.
func TestSchemasPublishedAtOnce(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	kv := schemaBucket(t, js)
	var all errgroup.Group
	for range 4 {
		for _, r := range []*event.Registry{types, event.NewRegistry("thing", event.Define[coloured](1))} {
			all.Go(func() error { return eventstore.New(js, things, r).PublishSchemas(t.Context(), "schemas") })
		}
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	entry, err := kv.Get(t.Context(), "thing.made.v1")
	if err != nil || !strings.Contains(string(entry.Value()), "colour") {
		t.Errorf("the bucket has %v, %v", entry, err)
	}
}

// History that an older release wrote is read as the current one, by loading and by
// following, and an event that cannot be brought up to date is neither lost nor taken
// for a foreign one.
func TestHistoryOfAnOlderRelease(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	older := newStore(t, srv)
	newer := eventstore.New(srv.JetStream(t), things, titledNow)
	mustAppend(t, older, "a", eventstore.Tail{}, made{Name: "No"}, named{Name: "two"})
	mustAppend(t, older, "b", eventstore.Tail{}, made{Name: "Evil"})

	events, tail, err := newer.Load(t.Context(), "a")
	if err != nil || len(events) != 2 || events[0].Data != (titled{Title: "Dr. No"}) || tail.Version != 2 {
		t.Errorf("loaded %+v, %v", events, err)
	}
	if _, _, err := newer.Load(t.Context(), "b"); !errors.Is(err, event.ErrUpcast) {
		t.Errorf("load of what no upcaster knows: %v", err)
	}
	reader := newer.Reader()
	for sequence, check := range map[uint64]func(e event.Event, err error) bool{
		1: func(e event.Event, err error) bool {
			of, typedErr := event.DecodeAs[titled](e)
			return err == nil && typedErr == nil && of.Data.Title == "Dr. No" && string(e.Data) == `{"name":"No"}`
		},
		3: func(_ event.Event, err error) bool { return errors.Is(err, event.ErrUpcast) && event.Unreadable(err) },
	} {
		stream, err := newer.JetStream().Stream(t.Context(), things.Name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := stream.GetMsg(t.Context(), sequence)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := reader.Check(t.Context(), m.Subject, m.Header, m.Data, m.Sequence); !check(e, err) {
			t.Errorf("message %d is read as %+v, %v", sequence, e, err)
		}
	}
}
