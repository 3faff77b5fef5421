package event_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"sluice/pkg/event"
)

// text is any string an attribute may hold: Unicode without control characters,
// surrogates and noncharacters, much of it the characters that need escaping.
func text(least int) *rapid.Generator[string] {
	special := rapid.SampledFrom([]rune(" %\"'\\<>,;:=&+#?/ü€日🜂\u00a0\u200b\u2028ǅ~"))
	ascii := rapid.RuneFrom(nil, &unicode.RangeTable{R16: []unicode.Range16{{Lo: 0x20, Hi: 0x7e, Stride: 1}}})
	anything := rapid.Rune().Filter(func(r rune) bool {
		return !unicode.IsControl(r) && r&0xfffe != 0xfffe && (r < 0xfdd0 || r > 0xfdef) && r != unicode.ReplacementChar
	})
	return rapid.StringOfN(rapid.OneOf(special, ascii, anything), least, 24, -1)
}

// filled is text that is not blank.
func filled() *rapid.Generator[string] {
	return text(1).Filter(func(s string) bool { return strings.TrimSpace(s) != "" })
}

var sources = rapid.OneOf(
	rapid.SampledFrom([]string{"/services/order", "/cli", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", "https://example.com:8443/a/b?c=d%20e#f", "mailto:cncf@example.com", "a"}),
	rapid.StringMatching(`(/[a-z0-9._~-]{1,8}){1,3}(\?[a-z0-9=&]{1,10})?`),
)

var times = rapid.Custom(func(t *rapid.T) time.Time {
	first, last := time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	second := rapid.Int64Range(first.Unix(), last.Unix()).Draw(t, "second")
	return time.Unix(second, rapid.Int64Range(0, 999_999_999).Draw(t, "nanosecond")).UTC()
})

// values generates JSON values in their shortest form.
var values = rapid.OneOf(
	rapid.SampledFrom([]string{`null`, `{}`, `[]`, `0`, `-1.5e3`, `true`, `""`, `{"a":{"b":[1,"2",null]},"ü":"\u2028"}`}),
	rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf(`{"n":%d,"s":%q}`, rapid.Int().Draw(t, "n"), "x") }),
)

// events generates every event that Encode can carry.
var events = rapid.Custom(func(t *rapid.T) event.Event {
	e := event.Event{
		ID: filled().Draw(t, "id"), Source: sources.Draw(t, "source"), Type: filled().Draw(t, "type"),
		DataContentType: event.ContentType, Data: []byte(values.Draw(t, "data")),
	}
	maybe := func(name string) bool { return rapid.Bool().Draw(t, "has "+name) }
	for _, a := range []struct {
		name  string
		field *string
	}{
		{"subject", &e.Subject},
		{"correlation", &e.CorrelationID},
		{"causation", &e.CausationID},
		{"user", &e.UserID},
		{"fingerprint", &e.Fingerprint},
	} {
		if maybe(a.name) {
			*a.field = filled().Draw(t, a.name)
		}
	}
	if maybe("time") {
		e.Time = times.Draw(t, "time")
	}
	if maybe("schema") {
		e.DataSchema = rapid.SampledFrom([]string{"sluice:/schemas/order.created/v1", "https://example.com/s/1?a=b", "urn:x:y"}).Draw(t, "schema")
	}
	if maybe("history") {
		e.Version = rapid.Uint64Range(1, 1<<62).Draw(t, "version")
		e.Step = rapid.IntRange(1, 1000).Draw(t, "step")
		previous := rapid.SliceOfNDistinct(rapid.Uint64Range(1, 1<<62), 0, event.MaxPrevious, rapid.ID).Draw(t, "previous")
		slices.Sort(previous)
		slices.Reverse(previous)
		if len(previous) > 0 {
			e.Previous = previous
		}
	}
	if maybe("trace") {
		e.TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		e.TraceState = rapid.SampledFrom([]string{"", "a=b", "congo=t61rcWkgMzE,rojo=100%25", `vendor=a b "c"`}).Draw(t, "state")
	}
	if maybe("extensions") {
		name := rapid.StringMatching(`x[a-z0-9]{0,10}`)
		e.Extensions = rapid.MapOfN(name, filled(), 1, 4).Draw(t, "extensions")
	}
	return e
})

// wantSame compares events by meaning: an absent content type is JSON, an empty
// extension is none, and a source is its normal form.
func wantSame(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, got, want event.Event,
) {
	t.Helper()
	if g, w := meaning(got), meaning(want); g != w {
		t.Fatalf("got\n\t%s\nwant\n\t%s", g, w)
	}
}

func meaning(e event.Event) string {
	if e.DataContentType == "" {
		e.DataContentType = event.ContentType
	}
	for _, uri := range []*string{&e.Source, &e.DataSchema} {
		if u, err := url.Parse(*uri); err == nil {
			*uri = u.String()
		}
	}
	at := e.Time.Format(time.RFC3339Nano)
	e.Time = time.Time{}
	extensions := ""
	for _, name := range slices.Sorted(maps.Keys(e.Extensions)) {
		if value := e.Extensions[name]; value != "" {
			extensions += fmt.Sprintf(" %s=%q", name, value)
		}
	}
	e.Extensions = nil
	data := string(e.Data)
	var compact bytes.Buffer
	if e.DataContentType == event.ContentType && json.Compact(&compact, e.Data) == nil {
		data = compact.String()
	}
	e.Data = nil
	if len(e.Previous) == 0 {
		e.Previous = nil
	}
	return fmt.Sprintf("%q %s %q%s", fmt.Sprintf("%+v", e), at, data, extensions)
}

func decode(t testing.TB, header map[string][]string, body string) event.Event {
	t.Helper()
	e, err := event.Decode(header, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return e
}
