package event

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/bojanz/currency"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/jsonschema-go/jsonschema"
)

// Schema is the JSON Schema of one version of an event type.
type Schema struct {
	Type    string
	Version int
	Current int // the version that is written now
	JSON    jsontext.Value
}

// Key returns "order.created.v1": the name of the schema in files and buckets.
func (s Schema) Key() string { return s.Type + ".v" + strconv.Itoa(s.Version) }

// Schemas returns the schema of every version of every type, types in the order they
// were defined and oldest versions first. Members that a schema does not name are
// allowed, since a later release may add some. It panics when a type has no JSON form.
func (r *Registry) Schemas() []Schema {
	var all []Schema
	for _, name := range r.types {
		d := r.byName[name]
		for _, u := range d.upcasters {
			all = append(all, Schema{Type: name, Version: u.version, Current: d.version, JSON: u.schema()})
		}
		all = append(all, Schema{Type: name, Version: d.version, Current: d.version, JSON: d.schema()})
	}
	return all
}

// SchemaError says that events which were written under a schema may not be read
// under what it has become.
type SchemaError struct {
	Schema  Schema // what it has become
	Changes []Change
}

// Error says what changed and what to do.
func (e *SchemaError) Error() string {
	changes := make([]string, len(e.Changes))
	for i, c := range e.Changes {
		changes[i] = c.String()
	}
	advice := fmt.Sprintf("raise the version to %d and add an upcaster (event.From(%d, …)), or keep the member as it was and make new ones optional",
		e.Schema.Version+1, e.Schema.Version)
	if e.Schema.Version < e.Schema.Current {
		advice = fmt.Sprintf("events of version %d are stored, so leave the type that its upcaster reads as it was", e.Schema.Version)
	}
	return fmt.Sprintf("schema of %s v%d has changed: %s; %s", e.Schema.Type, e.Schema.Version, strings.Join(changes, ", "), advice)
}

// Succeed reports whether s may take the place of an earlier schema of its version.
// It may when whoever reads by s can read everything written by the earlier one, as
// when an optional member was added; else the error is a [*SchemaError].
func (s Schema) Succeed(earlier jsontext.Value) error {
	changes, err := CompareSchemas(earlier, s.JSON)
	if err != nil {
		return fmt.Errorf("schema of %s v%d: %w", s.Type, s.Version, err)
	}
	breaking := make([]Change, 0, len(changes))
	for _, c := range changes {
		if c.Kind.Breaking() {
			breaking = append(breaking, c)
		}
	}
	if len(breaking) > 0 {
		return &SchemaError{Schema: s, Changes: breaking}
	}
	return nil
}

// SchemaOf returns the JSON Schema of T as T's JSON form has it, without members that
// T does not name. It panics when T has none (a channel, a function, a cycle), since
// that is a mistake in the program.
func SchemaOf[T any]() jsontext.Value { return schemaText[T](infer[T]()) }

// eventSchema is SchemaOf for events, which later releases may add members to.
func eventSchema[T any]() jsontext.Value {
	schema := infer[T]()
	walk(schema, func(s *jsonschema.Schema) {
		if s.AdditionalProperties != nil && s.AdditionalProperties.Not != nil {
			s.AdditionalProperties = nil
		}
	})
	return schemaText[T](schema)
}

func infer[T any]() *jsonschema.Schema {
	text := func(format string) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Format: format} }
	schema, err := jsonschema.For[T](&jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[time.Time](): text("date-time"),
		reflect.TypeFor[currency.Amount](): {
			Type:       "object",
			Properties: map[string]*jsonschema.Schema{"number": text(""), "currency": text("")},
			Required:   []string{"number", "currency"},
		},
		reflect.TypeFor[Event](): {
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
	walk(schema, withoutNull)
	return schema
}

func schemaText[T any](schema *jsonschema.Schema) jsontext.Value {
	b, err := json.Marshal(schema)
	if err != nil {
		panic(fmt.Sprintf("JSON schema of %s: %v", reflect.TypeFor[T](), err))
	}
	return b
}

// withoutNull says of slices, maps and pointers what is meant: a value of their type,
// or no member at all.
func withoutNull(s *jsonschema.Schema) {
	if len(s.Types) == 2 && s.Types[0] == "null" {
		s.Type, s.Types = s.Types[1], nil
	}
}

// walk calls f for s and every schema in it.
func walk(s *jsonschema.Schema, f func(*jsonschema.Schema)) {
	if s == nil {
		return
	}
	f(s)
	walk(s.Items, f)
	walk(s.AdditionalProperties, f)
	for _, p := range s.Properties {
		walk(p, f)
	}
}
