package event_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bojanz/currency"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/pkg/event"
)

func TestCompareSchemas(t *testing.T) {
	t.Parallel()
	const plain = `{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"}},"required":["a"]}`
	item := func(items string) string {
		return `{"type":"object","properties":{"items":{"type":"array","items":` + items + `}},"required":["items"]}`
	}
	for _, c := range []struct {
		name          string
		before, after string
		want          string // the changes; each that breaks has a ! before it
	}{
		{name: "equal", before: plain, after: plain},
		{name: "another order", before: plain, after: `{"required":["a"],"properties":{"b":{"type":"integer"},"a":{"type":"string"}},"type":"object"}`},
		{name: "described", before: plain, after: strings.Replace(plain, `{`, `{"title":"t","description":"d",`, 1)},
		{
			name: "optional member added", before: plain,
			after: strings.Replace(plain, `"a":`, `"c":{"type":"string"},"a":`, 1), want: "c was added",
		},
		{
			name: "required member added", before: plain,
			after: `{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"},"c":{}},"required":["a","c"]}`,
			want:  "!c is required now",
		},
		{name: "removed", before: plain, after: `{"type":"object","properties":{"b":{"type":"integer"}}}`, want: "!a was removed"},
		{
			name: "withdrawn", before: plain,
			after: `{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}`, want: "!b was withdrawn",
		},
		{
			name: "renamed", before: plain, after: strings.Replace(plain, `"b"`, `"c"`, 1),
			want: "!b was withdrawn, c was added",
		},
		{
			name: "retyped", before: plain, after: strings.Replace(plain, "integer", "number", 1),
			want: "!b is of another type (was integer, is number)",
		},
		{
			name: "made required", before: plain, after: strings.Replace(plain, `["a"]`, `["a","b"]`, 1),
			want: "!b is required now",
		},
		{
			name: "made optional", before: plain, after: strings.Replace(plain, `,"required":["a"]`, ``, 1),
			want: "a allows more (is optional now)",
		},
		{
			name: "deep inside", before: item(`{"type":"object","properties":{"price":{"type":"string"}}}`),
			after: item(`{"type":"object","properties":{"price":{"type":"object"}}}`),
			want:  "!items[].price is of another type (was string, is object)",
		},
		{name: "item retyped", before: item(`{"type":"string"}`), after: item(`{"type":"integer"}`), want: "!items[] is of another type (was string, is integer)"},
		{
			name: "value of a map retyped", before: `{"type":"object","additionalProperties":{"type":"string"}}`,
			after: `{"type":"object","additionalProperties":{"type":"integer"}}`, want: "!* is of another type (was string, is integer)",
		},
		{name: "closed", before: plain, after: strings.Replace(plain, `{`, `{"additionalProperties":false,`, 1), want: "!* is of another type (allows nothing now)"},
		{name: "opened", before: strings.Replace(plain, `{`, `{"additionalProperties":false,`, 1), after: plain, want: "* allows more"},
		{name: "enum narrowed", before: `{"enum":["a","b"]}`, after: `{"enum":["a"]}`, want: "!the data allows fewer values (to a)"},
		{name: "enum widened", before: `{"enum":["a"]}`, after: `{"enum":["b","a"]}`, want: "the data allows more"},
		{name: "enum put on", before: `{"type":"string"}`, after: `{"type":"string","enum":["a"]}`, want: "!the data allows fewer values (to a)"},
		{name: "enum taken off", before: `{"type":"string","enum":["a"]}`, after: `{"type":"string"}`, want: "the data allows more"},
		{name: "another format", before: `{"type":"string"}`, after: `{"type":"string","format":"date-time"}`, want: "!the data is of another type (format differs)"},
		{name: "one more type", before: `{"type":"string"}`, after: `{"type":["null","string"]}`, want: "the data allows more"},
		{name: "one type less", before: `{"type":["null","string"]}`, after: `{"type":"string"}`, want: "!the data is of another type (was null or string, is string)"},
		{name: "anything", before: plain, after: `true`, want: "the data allows more"},
		{name: "nothing", before: plain, after: `false`, want: "!the data is of another type (allows nothing now)"},
		{name: "anything, spelled otherwise", before: `{"type":"array"}`, after: `{"type":"array","items":{}}`},
		{name: "no longer anything", before: `{}`, after: plain, want: "!the data is of another type (could be anything)"},
	} {
		changes, err := event.CompareSchemas(jsontext.Value(c.before), jsontext.Value(c.after))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, change := range changes {
			mark := ""
			if change.Kind.Breaking() {
				mark = "!"
			}
			got = append(got, mark+change.String())
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if _, err := event.CompareSchemas(jsontext.Value(plain), jsontext.Value(`{`)); err == nil {
		t.Error("no error for what is no schema")
	}
}

type ordered struct {
	header
	Price currency.Amount  `json:"price"`
	Notes []string         `json:"notes,omitempty"`
	Gift  *bool            `json:"gift,omitzero"`
	Stock map[string]int64 `json:"stock"`
	Parts []part           `json:"parts"`
}

type header struct {
	At time.Time `json:"at"`
}

type part struct {
	Name string `json:"name"`
}

func (ordered) EventType() string { return "sale.ordered" }

func TestSchemas(t *testing.T) {
	t.Parallel()
	sales := event.NewRegistry("sale", event.Define[ordered](2, event.From(1, func(header) ordered { return ordered{} })))
	got := ""
	for _, s := range sales.Schemas() {
		got += fmt.Sprintf("%s of %d\n%s\n", s.Key(), s.Current, s.JSON)
	}
	const want = `sale.ordered.v1 of 2
{"type":"object","properties":{"at":{"type":"string","format":"date-time"}},"required":["at"]}
sale.ordered.v2 of 2
{"type":"object","properties":{` +
		`"at":{"type":"string","format":"date-time"},` +
		`"price":{"type":"object","properties":{"currency":{"type":"string"},"number":{"type":"string"}},"required":["number","currency"]},` +
		`"notes":{"type":"array","items":{"type":"string"}},` +
		`"gift":{"type":"boolean"},` +
		`"stock":{"type":"object","additionalProperties":{"type":"integer"}},` +
		`"parts":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}}},` +
		`"required":["at","price","stock","parts"]}
`
	if got != want {
		t.Errorf("schemas are\n%s\nwant\n%s", got, want)
	}
	if got, want := string(event.SchemaOf[part]()), `{"type":"object","properties":{"name":{"type":"string"}},"required":["name"],"additionalProperties":false}`; got != want {
		t.Errorf("schema is %s, want %s", got, want)
	}
}

func TestSucceedSaysWhatToDo(t *testing.T) {
	t.Parallel()
	schemas := parcels.Schemas()
	for _, s := range schemas {
		if err := s.Succeed(s.JSON); err != nil {
			t.Error(err)
		}
	}
	var changed *event.SchemaError
	err := schemas[2].Succeed(jsontext.Value(`{"type":"object","properties":{"to":{"type":"string"}},"required":["to"]}`))
	if !errors.As(err, &changed) || len(changed.Changes) != 3 || !strings.HasPrefix(err.Error(), "schema of parcel.sent v3 has changed: country is required now, ") ||
		!strings.Contains(err.Error(), "raise the version to 4 and add an upcaster (event.From(3, …)), or keep the member") {
		t.Error(err)
	}
	if err := schemas[0].Succeed(schemas[1].JSON); err == nil || !strings.Contains(err.Error(), "leave the type that its upcaster reads as it was") {
		t.Error(err)
	}
	if err := schemas[0].Succeed(jsontext.Value("x")); err == nil {
		t.Error("no error after what is no schema")
	}
}
