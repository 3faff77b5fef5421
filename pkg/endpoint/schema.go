package endpoint

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/bojanz/currency"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/jsonschema-go/jsonschema"

	"sluice/pkg/event"
)

// schemaOf returns the JSON Schema of T as T's JSON form has it. It panics when T has
// none (a channel, a function, a cycle), since that is a mistake in the program.
func schemaOf[T any]() jsontext.Value {
	text := func(format string) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Format: format} }
	schema, err := jsonschema.For[T](&jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[time.Time](): text("date-time"),
		reflect.TypeFor[currency.Amount](): {
			Type:       "object",
			Properties: map[string]*jsonschema.Schema{"number": text(""), "currency": text("")},
			Required:   []string{"number", "currency"},
		},
		reflect.TypeFor[event.Event](): {
			Type: "object", Description: "a CloudEvent in JSON format",
			Properties: map[string]*jsonschema.Schema{
				"specversion": text(""), "id": text(""), "source": text("uri-reference"), "type": text(""),
				"subject": text(""), "time": text("date-time"), "position": text(""), "data": {},
			},
			Required: []string{"specversion", "id", "source", "type"},
		},
		reflect.TypeFor[jsontext.Value](): {},
	}})
	if err != nil {
		panic(fmt.Sprintf("JSON schema of %s: %v", reflect.TypeFor[T](), err))
	}
	withoutNull(schema)
	b, err := json.Marshal(schema)
	if err != nil {
		panic(fmt.Sprintf("JSON schema of %s: %v", reflect.TypeFor[T](), err))
	}
	return b
}

// withoutNull says of slices, maps and pointers what is meant: a value of their type,
// or no member at all.
func withoutNull(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	if len(s.Types) == 2 && s.Types[0] == "null" {
		s.Type, s.Types = s.Types[1], nil
	}
	withoutNull(s.Items)
	withoutNull(s.AdditionalProperties)
	for _, p := range s.Properties {
		withoutNull(p)
	}
}
