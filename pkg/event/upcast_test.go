package event_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"sluice/pkg/event"
)

// A parcel was once sent to one line of text, then to a list of lines, and now to a
// list of lines in a country.

type sentV1 struct {
	To string `json:"to"`
}

func (s sentV1) Validate() error {
	if s.To == "" {
		return errors.New("to is required")
	}
	return nil
}

type sentV2 struct {
	Lines []string `json:"lines"`
}

type sent struct {
	Lines   []string `json:"lines"`
	Country string   `json:"country"`
}

func (sent) EventType() string { return "parcel.sent" }

func (s sent) Validate() error {
	if s.Country == "" {
		return errors.New("country is required")
	}
	return nil
}

var parcels = event.NewRegistry("parcel", event.Define[sent](3,
	event.From(1, func(s sentV1) sentV2 { return sentV2{Lines: strings.Split(s.To, ", ")} }),
	event.From(2, func(s sentV2) sent {
		if s.Lines[0] == "nowhere" {
			return sent{}
		}
		return sent{Lines: s.Lines, Country: "DE"}
	}),
))

func written(version, data string) event.Event {
	return event.Event{
		ID: "1", Source: "/s", Type: "parcel.sent", Subject: "p-1", Data: []byte(data),
		DataSchema: "sluice:/schemas/parcel.sent/" + version,
	}
}

func TestOldVersionsAreReadAsTheCurrentOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		version string
		data    string
		want    sent
		err     error
		strict  error // of DecodeStrict
	}{
		{name: "two versions back", version: "v1", data: `{"to":"a, b"}`, want: sent{[]string{"a", "b"}, "DE"}},
		{name: "one version back", version: "v2", data: `{"lines":["a"]}`, want: sent{[]string{"a"}, "DE"}},
		{name: "current", version: "v3", data: `{"lines":["a"],"country":"FR"}`, want: sent{[]string{"a"}, "FR"}},
		{name: "member that v1 never had", version: "v1", data: `{"to":"a","x":1}`, want: sent{[]string{"a"}, "DE"}, strict: event.ErrData},
		{name: "newer", version: "v4", data: `{}`, err: event.ErrNewerVersion},
		{name: "v3 that says v2", version: "v2", data: `{"lines":"a"}`, err: event.ErrData},
		{name: "against the rules of v1", version: "v1", data: `{"to":""}`, err: event.ErrData},
		{name: "against the rules of v3", version: "v3", data: `{"lines":["a"]}`, err: event.ErrData},
		{name: "upcast against the rules of v3", version: "v1", data: `{"to":"nowhere"}`, err: event.ErrUpcast},
		{name: "an upcaster that panics", version: "v2", data: `{"lines":[]}`, err: event.ErrUpcast},
	} {
		e := written(c.version, c.data)
		data, err := parcels.Decode(e)
		if !errors.Is(err, c.err) || err == nil && !reflect.DeepEqual(data, c.want) {
			t.Errorf("%s: %+v, %v", c.name, data, err)
		}
		if c.strict == nil {
			c.strict = c.err
		}
		if _, err := parcels.DecodeStrict(e); !errors.Is(err, c.strict) {
			t.Errorf("%s, strictly: %v", c.name, err)
		}
		if want := errors.Is(c.err, event.ErrUpcast) || errors.Is(c.err, event.ErrNewerVersion); event.Unreadable(err) != want {
			t.Errorf("%s: unreadable is %t for %v", c.name, !want, err)
		}
	}
}

func TestWritesTheCurrentVersion(t *testing.T) {
	t.Parallel()
	e, err := parcels.New(t.Context(), "p-1", sent{Lines: []string{"a"}, Country: "FR"})
	if err != nil || e.DataSchema != "sluice:/schemas/parcel.sent/v3" {
		t.Errorf("%+v, %v", e, err)
	}
}

// What a registry has read goes with the event to those who know only the Go type.
func TestTypedDataGoesWithTheEvent(t *testing.T) {
	t.Parallel()
	e, data, err := parcels.Typed(written("v1", `{"to":"a, b"}`))
	want := sent{[]string{"a", "b"}, "DE"}
	if err != nil || !reflect.DeepEqual(data, want) {
		t.Fatalf("%+v, %v", data, err)
	}
	if of, err := event.DecodeAs[sent](e); err != nil || !reflect.DeepEqual(of.Data, want) || string(of.Event.Data) != `{"to":"a, b"}` {
		t.Errorf("%+v, %v", of, err)
	}
	if again, err := parcels.Decode(e); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := event.DecodeAs[otherSent](e); !errors.Is(err, event.ErrData) {
		t.Errorf("as another Go type of that name: %v", err)
	}
	// Another registry makes its own sense of it.
	older := event.NewRegistry("parcel", event.Define[otherSent](1))
	if other, err := older.Decode(e); err != nil || other != (otherSent{To: "a, b"}) {
		t.Errorf("by another registry: %+v, %v", other, err)
	}
	if same, data, err := parcels.Typed(written("v4", `{}`)); !errors.Is(err, event.ErrNewerVersion) || data != nil || same.ID != "1" {
		t.Errorf("of a newer version: %+v, %+v, %v", same, data, err)
	}
}

type otherSent struct {
	To string `json:"to"`
}

func (otherSent) EventType() string { return "parcel.sent" }
