package event

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ErrUnknownType says that a registry has no such event type.
var ErrUnknownType = errors.New("unknown event type")

// ErrNewerVersion says that an event has a schema version newer than this program
// knows: it was written by a later release.
var ErrNewerVersion = errors.New("event schema is newer than this program")

// ErrData says that an event's payload does not fit its type.
var ErrData = errors.New("event data does not fit its type")

// Validator is implemented by data that can check itself. [Registry.Decode] and
// [Registry.New] call it.
type Validator interface {
	Validate() error
}

// Identified is implemented by data that names its aggregate. The id must be the
// event's subject; [Registry.Decode] and [Registry.New] see to it.
type Identified interface {
	AggregateID() string
}

// Timed is implemented by data that says when it happened. [Registry.New] takes it for
// the event's time.
type Timed interface {
	OccurredAt() time.Time
}

// Definition is one entry of a [Registry]; make it with [Define].
type Definition struct {
	name      string
	version   int
	first     bool
	data      reflect.Type
	decode    func(e Event, opts ...json.Options) (Data, error)
	schema    func() jsontext.Value
	upcasters []Upcaster // by version, from 1
	uri       string     // of its schema
}

// Define declares the event type T at its current schema version, from 1. A version
// above 1 needs an upcaster from each version before it, oldest first: see [From].
func Define[T Data](version int, upcasters ...Upcaster) Definition {
	var zero T
	return Definition{
		name: zero.EventType(), version: version, data: reflect.TypeFor[T](),
		decode: func(e Event, opts ...json.Options) (Data, error) { return unmarshal[T](e, opts...) },
		schema: eventSchema[T], upcasters: upcasters, uri: schemaURI(zero.EventType(), version),
	}
}

// First says that a history begins with this type and has it nowhere else. In a
// registry with such types no other one begins a history.
func (d Definition) First() Definition {
	d.first = true
	return d
}

// Registry lists the event types of one entity. It is immutable and safe for
// concurrent use.
type Registry struct {
	entity string
	source string
	types  []string
	byName map[string]Definition
	begins bool // some definitions are first
}

// NewRegistry returns the registry of entity. It panics when a definition does not
// belong to entity, is there twice, has a malformed name or lacks an upcaster: these
// are mistakes in the program, found at start-up.
func NewRegistry(entity string, definitions ...Definition) *Registry {
	r := &Registry{entity: entity, source: "/services/" + entity, byName: make(map[string]Definition, len(definitions))}
	for _, d := range definitions {
		if err := CheckType(d.name); err != nil {
			panic(err)
		}
		if !strings.HasPrefix(d.name, entity+".") || d.version < 1 {
			panic(fmt.Sprintf("event type %q v%d does not belong to entity %q", d.name, d.version, entity))
		}
		if _, ok := r.byName[d.name]; ok {
			panic(fmt.Sprintf("event type %q is defined twice", d.name))
		}
		if err := d.linked(); err != nil {
			panic(err)
		}
		r.byName[d.name] = d
		r.begins = r.begins || d.first
		r.types = append(r.types, d.name)
	}
	return r
}

// Entity returns the entity the registry belongs to, such as "order".
func (r *Registry) Entity() string { return r.entity }

// Types returns the wire names in the order they were defined.
func (r *Registry) Types() []string { return slices.Clone(r.types) }

// Subjects returns the history subjects of all types, "order.created.*" and so on:
// what a consumer filters on so that it never meets a type it does not know.
func (r *Registry) Subjects() []string {
	subjects := make([]string, len(r.types))
	for i, t := range r.types {
		subjects[i] = t + ".*"
	}
	return subjects
}

// Fits reports whether an event of type t may have that aggregate version: see
// [Definition.First]. It says so of types it does not know.
func (r *Registry) Fits(t string, version uint64) bool {
	d, ok := r.byName[t]
	return !ok || !r.begins || d.first == (version == 1)
}

// Source returns the ce-source of events that the entity's own service writes.
func (r *Registry) Source() string { return r.source }

// New returns an event of aggregate id that carries data, with a fresh id, the
// current time, and cause and correlation from the context. Version, Previous,
// Step and trace context are set when it is appended.
func (r *Registry) New(ctx context.Context, id string, data Data) (Event, error) {
	if err := CheckID(id); err != nil {
		return Event{}, err
	}
	if data == nil {
		return Event{}, fmt.Errorf("%w: no data", ErrInvalid)
	}
	d, ok := r.byName[data.EventType()]
	if !ok {
		return Event{}, fmt.Errorf("%w: %q is not in the registry of %q", ErrUnknownType, data.EventType(), r.entity)
	}
	if err := check(data, id); err != nil {
		return Event{}, fmt.Errorf("%w: %s: %w", ErrData, d.name, err)
	}
	body, err := json.Marshal(data, json.Deterministic(true))
	if err != nil {
		return Event{}, fmt.Errorf("%w: %s: %w", ErrData, d.name, err)
	}
	m, at := MetadataFrom(ctx), time.Now()
	if timed, ok := data.(Timed); ok && !timed.OccurredAt().IsZero() {
		at = timed.OccurredAt()
	}
	return Event{
		ID: NewID(), Source: r.Source(), Type: d.name, Subject: id, Time: at.UTC(),
		DataSchema: d.uri, DataContentType: ContentType, Data: body,
		CorrelationID: m.CorrelationID, CausationID: m.CausationID, UserID: m.UserID, Fingerprint: m.Fingerprint,
	}, nil
}

// Decode returns the typed data of e, brought up to the current version. Members that
// the type does not know are ignored, because later releases may add some. Errors are
// [ErrUnknownType], [ErrNewerVersion], [ErrUpcast] and [ErrData].
func (r *Registry) Decode(e Event) (Data, error) {
	if e.typedBy == r {
		return e.typed, nil
	}
	return r.decode(e)
}

// Typed is [Registry.Decode] for those who pass e on: the event it returns carries
// the typed data, which is what [DecodeAs] and another Decode then give.
func (r *Registry) Typed(e Event) (Event, Data, error) {
	data, err := r.Decode(e)
	if err != nil {
		return e, nil, err
	}
	e.typed, e.typedBy = data, r
	return e, data, nil
}

// DecodeStrict is [Registry.Decode] for what outsiders send: unknown members are
// errors, since they would be lost.
func (r *Registry) DecodeStrict(e Event) (Data, error) {
	return r.decode(e, json.RejectUnknownMembers(true))
}

func (r *Registry) decode(e Event, opts ...json.Options) (Data, error) {
	version, err := schemaVersion(e)
	if err != nil {
		return nil, err
	}
	d, ok := r.byName[e.Type]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrUnknownType, clip(e.Type))
	}
	if version > d.version {
		return nil, fmt.Errorf("%w: %s is v%d, known up to v%d", ErrNewerVersion, e.Type, version, d.version)
	}
	if version < d.version {
		return d.decodeOld(e, version, opts...)
	}
	return d.decode(e, opts...)
}

// DecodeAs returns e with its data as T. An event that a registry has read, see
// [Registry.Typed], has its data at the current version. Any other is decoded as it
// is, whatever its version: only a registry knows the versions of a type. Errors are
// [ErrUnknownType], when e is of another type, and [ErrData].
func DecodeAs[T Data](e Event) (Of[T], error) {
	var data T
	if name := data.EventType(); name != e.Type {
		return Of[T]{}, fmt.Errorf("%w: %q is not %s", ErrUnknownType, clip(e.Type), name)
	}
	if e.typedBy != nil {
		data, ok := e.typed.(T)
		if !ok {
			return Of[T]{}, fmt.Errorf("%w: %s was read as %T, not as %T", ErrData, e.Type, e.typed, data)
		}
		return Of[T]{Event: e, Data: data}, nil
	}
	data, err := unmarshal[T](e)
	return Of[T]{Event: e, Data: data}, err
}

// unmarshal returns e's payload as T, checked.
func unmarshal[T any](e Event, opts ...json.Options) (T, error) {
	var data T
	if e.DataContentType != "" && !isJSON(e.DataContentType) {
		return data, fmt.Errorf("%w: %s: content type %q is not JSON", ErrData, e.Type, clip(e.DataContentType))
	}
	if err := json.Unmarshal(e.Data, &data, opts...); err != nil {
		return data, fmt.Errorf("%w: %s: %w", ErrData, e.Type, err)
	}
	if err := check(data, e.Subject); err != nil {
		return data, fmt.Errorf("%w: %s: %w", ErrData, e.Type, err)
	}
	return data, nil
}

// check asks data whether it is right for the aggregate id.
func check(data any, id string) error {
	if v, ok := data.(Validator); ok {
		if err := v.Validate(); err != nil {
			return err
		}
	}
	if v, ok := data.(Identified); ok && v.AggregateID() != id {
		return errors.New("data names another aggregate than the event's subject")
	}
	return nil
}

// schemaScheme makes the dataschema an absolute URI, which CloudEvents 1.0, section
// 3.2, demands and the official SDK checks.
const schemaScheme = "sluice:"

func schemaURI(name string, version int) string {
	return schemaScheme + "/schemas/" + name + "/v" + strconv.Itoa(version)
}

// schemaVersion returns the version that e's dataschema names, with or without the
// scheme. An event without a dataschema, as outsiders may send it, is taken for
// version 1.
func schemaVersion(e Event) (int, error) {
	if e.DataSchema == "" {
		return 1, nil
	}
	v, ok := strings.CutPrefix(strings.TrimPrefix(e.DataSchema, schemaScheme), "/schemas/"+e.Type+"/v")
	n, err := strconv.Atoi(v)
	if !ok || err != nil || n < 1 {
		return 0, fmt.Errorf("%w: dataschema %q is not %s/schemas/%s/v<n>", ErrInvalid, clip(e.DataSchema), schemaScheme, e.Type)
	}
	return n, nil
}
