package event_test

import (
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"sluice/pkg/event"
)

func TestNewIDsAscend(t *testing.T) {
	t.Parallel()
	last := ""
	for range 1000 {
		id := event.NewID()
		u, err := uuid.Parse(id)
		if err != nil || u.Version() != 7 || u.Variant() != uuid.RFC4122 || !event.IsUUID(id) {
			t.Fatalf("%q has version %v, variant %v, %v", id, u.Version(), u.Variant(), err)
		}
		if id <= last {
			t.Fatalf("%s comes after %s", id, last)
		}
		last = id
	}
}

func TestDeriveID(t *testing.T) {
	t.Parallel()
	parts := rapid.SliceOfN(rapid.String(), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		a, b := parts.Draw(t, "a"), parts.Draw(t, "b")
		id := event.DeriveID(a...)
		u, err := uuid.Parse(id)
		if err != nil || u.Version() != 8 || u.Variant() != uuid.RFC4122 || !event.IsUUID(id) {
			t.Fatalf("%q has version %v, variant %v, %v", id, u.Version(), u.Variant(), err)
		}
		same := len(a) == len(b)
		for i := 0; same && i < len(a); i++ {
			same = a[i] == b[i]
		}
		if (id == event.DeriveID(b...)) != same {
			t.Fatalf("ids of %q and %q: equal is %v", a, b, !same)
		}
	})
	for _, pair := range [][2][]string{
		{{"ab", "c"}, {"a", "bc"}}, {{"abc"}, {"abc", ""}}, {{""}, {}}, {{"a", "b"}, {"b", "a"}},
	} {
		if event.DeriveID(pair[0]...) == event.DeriveID(pair[1]...) {
			t.Errorf("%q and %q have one id", pair[0], pair[1])
		}
	}
	// Ids are in histories: the way they are derived can never change.
	if got, want := event.DeriveID("command", "caller", "key"), "773194f4-3b5b-81e2-9537-36cb5f14cd88"; got != want {
		t.Errorf("id is %s, was %s", got, want)
	}
}

func TestIsUUID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"0193e4c5-7a6b-7c8d-9e0f-112233445566":          true,
		"0193E4C5-7A6B-7C8D-9E0F-112233445566":          false,
		"0193e4c57a6b7c8d9e0f112233445566":              false,
		"{0193e4c5-7a6b-7c8d-9e0f-112233445566}":        false,
		"urn:uuid:0193e4c5-7a6b-7c8d-9e0f-112233445566": false,
		"": false, "u-1": false,
	} {
		if got := event.IsUUID(id); got != want {
			t.Errorf("IsUUID(%q) is %v", id, got)
		}
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	if m := event.MetadataFrom(t.Context()); m != (event.Metadata{}) {
		t.Errorf("metadata of an empty context is %+v", m)
	}
	if first, second := (event.Metadata{CausationID: "k"}).NewID("order"), (event.Metadata{CausationID: "k"}).NewID("order"); first == second {
		t.Errorf("two commands without a key make one aggregate, %s", first)
	}
	keyed := event.Metadata{CausationID: "k", Keyed: true}
	if first, second := keyed.NewID("order"), keyed.NewID("order"); first != second || first == keyed.NewID("user") {
		t.Error("the id of a keyed command does not depend on its key and entity alone")
	}
	cause := event.Event{ID: "e", CorrelationID: "c", CausationID: "k", UserID: "u", Fingerprint: "f"}
	if m, want := event.MetadataFrom(event.CausedBy(t.Context(), cause)), (event.Metadata{CorrelationID: "c", CausationID: "e", UserID: "u", Keyed: true}); m != want {
		t.Errorf("caused by an event: %+v", m)
	}
	cause.CorrelationID = ""
	if m := event.MetadataFrom(event.CausedBy(t.Context(), cause)); m.CorrelationID != "e" {
		t.Errorf("an event that begins a story gives the correlation id %q", m.CorrelationID)
	}
}
