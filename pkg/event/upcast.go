package event

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ErrUpcast says that this program's upcasters made nothing valid of a valid event of
// an older version: a mistake in the program and none in the event.
var ErrUpcast = errors.New("event of an older version cannot be brought up to date")

// Unreadable reports whether err is about a well-formed event that this program
// cannot read but another release may: [ErrUnknownType], [ErrNewerVersion] or
// [ErrUpcast]. Such an event is never to be thrown away.
func Unreadable(err error) bool {
	return errors.Is(err, ErrUnknownType) || errors.Is(err, ErrNewerVersion) || errors.Is(err, ErrUpcast)
}

// Upcaster brings the data of one schema version to the next; make it with [From].
type Upcaster struct {
	version  int
	from, to reflect.Type
	decode   func(e Event, opts ...json.Options) (any, error)
	up       func(any) any
	schema   func() jsontext.Value
}

// From returns the step from a schema version to the one after it. Old is the type
// the data had at that version, left as it was; up makes of it what it would be now:
//
//	event.Define[Created](3,
//		event.From(1, func(c createdV1) createdV2 { … }),
//		event.From(2, func(c createdV2) Created { … }))
//
// up is a pure function and has an answer for every Old that there may be, since
// what was stored cannot be refused any more.
func From[Old, New any](version int, up func(Old) New) Upcaster {
	return Upcaster{
		version: version, from: reflect.TypeFor[Old](), to: reflect.TypeFor[New](),
		decode: func(e Event, opts ...json.Options) (any, error) { return unmarshal[Old](e, opts...) },
		up: func(old any) any {
			typed, ok := old.(Old)
			if !ok {
				panic(fmt.Sprintf("%T is not %s", old, reflect.TypeFor[Old]()))
			}
			return up(typed)
		},
		schema: eventSchema[Old],
	}
}

// linked returns what is wrong with the upcasters of d: one from each older version,
// in order, each beginning with the type that the one before it ends with.
func (d Definition) linked() error {
	if len(d.upcasters) != d.version-1 {
		return fmt.Errorf("%s v%d has %d upcasters, and needs one from each older version", d.name, d.version, len(d.upcasters))
	}
	next := d.data
	for i, u := range slices.Backward(d.upcasters) {
		if u.version != i+1 {
			return fmt.Errorf("%s has an upcaster from v%d where the one from v%d belongs", d.name, u.version, i+1)
		}
		if u.to != next {
			return fmt.Errorf("%s v%d becomes %s, and v%d is %s", d.name, u.version, u.to, u.version+1, next)
		}
		next = u.from
	}
	return nil
}

// decodeOld decodes e as its own version has it and brings it up to date.
func (d Definition) decodeOld(e Event, version int, opts ...json.Options) (Data, error) {
	old, err := d.upcasters[version-1].decode(e, opts...)
	if err != nil {
		return nil, err
	}
	data, err := d.upcast(old, version)
	if err == nil {
		err = check(data, e.Subject)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s v%d: %w", ErrUpcast, d.name, version, err)
	}
	return data, nil
}

// upcast runs the chain, whose panics are errors: one bad event in a history must not
// end the program that reads it.
func (d Definition) upcast(data any, version int) (current Data, err error) {
	defer func() {
		if r := recover(); r != nil {
			first, _, _ := strings.Cut(fmt.Sprint(r), "\n")
			err = errors.New("upcaster panicked: " + first)
		}
	}()
	for _, u := range d.upcasters[version-1:] {
		data = u.up(data)
	}
	current, ok := data.(Data)
	if !ok {
		return nil, fmt.Errorf("%T is no event data", data)
	}
	return current, nil
}
