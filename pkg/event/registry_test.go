package event_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/pkg/event"
)

type baked struct {
	Loaves int `json:"loaves"`
}

func (baked) EventType() string { return "bread.baked" }

func (b baked) Validate() error {
	if b.Loaves < 1 {
		return errors.New("loaves must be 1 or more")
	}
	return nil
}

type eaten struct{}

func (eaten) EventType() string { return "bread.eaten" }

type stolen struct{}

func (stolen) EventType() string { return "bread.stolen" }

type cursed struct {
	C chan int `json:"c"`
}

func (cursed) EventType() string { return "bread.cursed" }

type misnamed struct{}

func (misnamed) EventType() string { return "Bread" }

var bread = event.NewRegistry("bread", event.Define[baked](2, event.From(1, same[baked])), event.Define[eaten](1), event.Define[cursed](1))

func TestRegistryMakesEvents(t *testing.T) {
	t.Parallel()
	ctx := event.WithMetadata(t.Context(), event.Metadata{CorrelationID: "c", CausationID: "k", UserID: "u", Fingerprint: "f", Keyed: true})
	before := time.Now()
	e, err := bread.New(ctx, "b-1", baked{Loaves: 3})
	if err != nil {
		t.Fatal(err)
	}
	if e.Time.Before(before) || e.Time.Location() != time.UTC {
		t.Errorf("time is %v", e.Time)
	}
	if !event.IsUUID(e.ID) {
		t.Errorf("id is %q", e.ID)
	}
	wantSame(t, e, event.Event{
		ID: e.ID, Source: "/services/bread", Type: "bread.baked", Subject: "b-1", Time: e.Time,
		DataSchema: "sluice:/schemas/bread.baked/v2", Data: []byte(`{"loaves":3}`),
		CorrelationID: "c", CausationID: "k", UserID: "u", Fingerprint: "f",
	})
	if err := e.Validate(); err != nil {
		t.Error(err)
	}
	if bread.Entity() != "bread" || bread.Source() != "/services/bread" ||
		!slices.Equal(bread.Types(), []string{"bread.baked", "bread.eaten", "bread.cursed"}) ||
		!slices.Equal(bread.Subjects(), []string{"bread.baked.*", "bread.eaten.*", "bread.cursed.*"}) {
		t.Errorf("registry of %s from %s: %v, %v", bread.Entity(), bread.Source(), bread.Types(), bread.Subjects())
	}
	for _, c := range []struct {
		name string
		id   string
		data event.Data
		want error
	}{
		{"malformed id", "a.b", baked{Loaves: 1}, event.ErrInvalid},
		{"no data", "b-1", nil, event.ErrInvalid},
		{"unknown type", "b-1", stolen{}, event.ErrUnknownType},
		{"data against its own rules", "b-1", baked{}, event.ErrData},
		{"data that is no JSON", "b-1", cursed{C: make(chan int)}, event.ErrData},
	} {
		if _, err := bread.New(ctx, c.id, c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestRegistryDecodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		kind        string // "bread.baked" when empty
		schema      string
		contentType string
		data        string
		want        error
		strict      error // of DecodeStrict
	}{
		{name: "as written", schema: "sluice:/schemas/bread.baked/v2", data: `{"loaves":1}`},
		{name: "no scheme", schema: "/schemas/bread.baked/v2", data: `{"loaves":1}`},
		{name: "older version", schema: "sluice:/schemas/bread.baked/v1", data: `{"loaves":1}`},
		{name: "no schema", data: `{"loaves":1}`},
		{name: "JSON by suffix", contentType: "application/vnd.bread+json", data: `{"loaves":1}`},
		{name: "additional member", data: `{"loaves":1,"crust":true}`, strict: event.ErrData},
		{name: "newer version", schema: "sluice:/schemas/bread.baked/v3", data: `{}`, want: event.ErrNewerVersion},
		{name: "unknown type", kind: "bread.stolen", data: `{}`, want: event.ErrUnknownType},
		{name: "unknown type of version 9", kind: "bread.stolen", schema: "/schemas/bread.stolen/v9", data: `{}`, want: event.ErrUnknownType},
		{name: "schema of another type", schema: "sluice:/schemas/bread.eaten/v1", data: `{"loaves":1}`, want: event.ErrInvalid},
		{name: "version 0", schema: "/schemas/bread.baked/v0", data: `{"loaves":1}`, want: event.ErrInvalid},
		{name: "no version", schema: "/schemas/bread.baked", data: `{"loaves":1}`, want: event.ErrInvalid},
		{name: "foreign schema", schema: "https://example.com/bread.json", data: `{"loaves":1}`, want: event.ErrInvalid},
		{name: "empty", data: ``, want: event.ErrData},
		{name: "not JSON", data: `loaves`, want: event.ErrData},
		{name: "another type of value", data: `{"loaves":"1"}`, want: event.ErrData},
		{name: "member twice", data: `{"loaves":1,"loaves":2}`, want: event.ErrData},
		{name: "trailing bytes", data: `{"loaves":1} x`, want: event.ErrData},
		{name: "against its own rules", data: `{"loaves":0}`, want: event.ErrData},
		{name: "content type", contentType: "text/plain", data: `{"loaves":1}`, want: event.ErrData},
	} {
		e := event.Event{ID: "1", Source: "/s", Type: c.kind, DataSchema: c.schema, DataContentType: c.contentType, Data: []byte(c.data)}
		if e.Type == "" {
			e.Type = "bread.baked"
		}
		data, err := bread.Decode(e)
		if !errors.Is(err, c.want) || err == nil && data != (baked{Loaves: 1}) {
			t.Errorf("%s: %v, %v", c.name, data, err)
		}
		if c.strict == nil {
			c.strict = c.want
		}
		if _, err := bread.DecodeStrict(e); !errors.Is(err, c.strict) {
			t.Errorf("%s, strictly: %v", c.name, err)
		}
	}
}

func TestDecodeAs(t *testing.T) {
	t.Parallel()
	e := event.Event{ID: "1", Source: "/s", Type: "bread.baked", DataSchema: "/schemas/bread.baked/v7", Data: []byte(`{"loaves":4}`)}
	of, err := event.DecodeAs[baked](e)
	if err != nil || of.Data.Loaves != 4 || of.ID != "1" {
		t.Errorf("%+v, %v", of, err)
	}
	if _, err := event.DecodeAs[eaten](e); !errors.Is(err, event.ErrUnknownType) {
		t.Errorf("as another type: %v", err)
	}
	e.Data = []byte(`{}`)
	if _, err := event.DecodeAs[baked](e); !errors.Is(err, event.ErrData) {
		t.Errorf("with bad data: %v", err)
	}
}

func TestWiringMistakesPanic(t *testing.T) {
	t.Parallel()
	for name, wire := range map[string]func(){
		"another entity": func() { event.NewRegistry("order", event.Define[eaten](1)) },
		"prefix only":    func() { event.NewRegistry("bre", event.Define[eaten](1)) },
		"twice":          func() { event.NewRegistry("bread", event.Define[eaten](1), event.Define[eaten](2)) },
		"malformed name": func() { event.NewRegistry("Bread", event.Define[misnamed](1)) },
		"version 0":      func() { event.NewRegistry("bread", event.Define[eaten](0)) },
		"no upcaster":    func() { event.NewRegistry("bread", event.Define[eaten](2)) },
		"one too many":   func() { event.NewRegistry("bread", event.Define[eaten](1, event.From(1, same[eaten]))) },
		"a gap": func() {
			event.NewRegistry("bread", event.Define[eaten](3, event.From(1, same[eaten]), event.From(3, same[eaten])))
		},
		"newest first": func() {
			event.NewRegistry("bread", event.Define[eaten](3, event.From(2, same[eaten]), event.From(1, same[eaten])))
		},
		"ends elsewhere": func() { event.NewRegistry("bread", event.Define[eaten](2, event.From(1, same[baked]))) },
		"broken link": func() {
			event.NewRegistry("bread", event.Define[eaten](3,
				event.From(1, same[baked]), event.From(2, func(stolen) eaten { return eaten{} })))
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			wire()
		}()
	}
}

func same[T any](data T) T { return data }

func TestErrorsAreShort(t *testing.T) {
	t.Parallel()
	e := event.Event{ID: "1", Source: "/s", Type: strings.Repeat("x", 1000), Data: []byte(`{}`)}
	if _, err := bread.Decode(e); err == nil || len(err.Error()) > 200 {
		t.Errorf("error of an unknown type is %v", err)
	}
}
