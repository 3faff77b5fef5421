package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Condition is one line of a filter: a field and what must hold for it. All operators
// that are given must hold.
type Condition struct {
	Attribute string  `doc:"An attribute of the event, such as source or type."`
	Data      string  `doc:"A field of the event's data with dots between names, such as total_amount.number; a number leads into a list."`
	Equals    Operand `doc:"The field has this value."`
	NotEquals Operand `doc:"The field is there and has another value."`
	Contains  Operand `doc:"The field is a string with this in it, or a list with this element."`
	Greater   Operand `doc:"The field is greater."`
	Less      Operand `doc:"The field is less."`
}

// Validate returns what is wrong with the condition, or nil.
func (c Condition) Validate() error {
	var errs []error
	if (c.Attribute == "") == (c.Data == "") {
		errs = append(errs, errors.New("a condition is about either an attribute or data"))
	}
	if strings.HasPrefix(c.Data, ".") || strings.HasSuffix(c.Data, ".") || strings.Contains(c.Data, "..") {
		errs = append(errs, fmt.Errorf("data %q has an empty name between its dots", c.Data))
	}
	if c.Equals.IsZero() && c.NotEquals.IsZero() && c.Contains.IsZero() && c.Greater.IsZero() && c.Less.IsZero() {
		errs = append(errs, errors.New("a condition needs equals, not_equals, contains, greater or less"))
	}
	if c.Greater.kind == kindBool || c.Less.kind == kindBool {
		errs = append(errs, errors.New("greater and less need a number or a string"))
	}
	return errors.Join(errs...)
}

// Filter tells which events are wanted. The zero value wants all. It is immutable and
// safe for concurrent use.
type Filter struct {
	attributes []Condition
	data       []fieldCondition
}

// fieldCondition is a condition on data, its path cut.
type fieldCondition struct {
	Condition
	path []string
}

// Compile returns a filter that wants the events for which all conditions hold. The
// error names all that is wrong with them.
func Compile(conditions []Condition) (Filter, error) {
	var (
		f    Filter
		errs []error
	)
	for i, c := range conditions {
		for _, err := range eachError(c.Validate()) {
			errs = append(errs, fmt.Errorf("condition %d: %w", i+1, err))
		}
		if c.Data == "" {
			f.attributes = append(f.attributes, c)
			continue
		}
		f.data = append(f.data, fieldCondition{c, strings.Split(c.Data, ".")})
	}
	if err := errors.Join(errs...); err != nil {
		return Filter{}, err
	}
	return f, nil
}

// Match tells whether an event is wanted. attribute returns an attribute by its name
// and whether the event has it; data is the event's JSON.
//
// A field that is missing or null never matches, not even not_equals, and neither
// does anything in data that is not JSON. Numbers compare exactly, 1.0 equals 1. Where
// the operand is a number, a string that is written like one counts as a number, as
// attributes and exact amounts of money are strings. Values of other types are
// different, and neither greater nor less.
func (f Filter) Match(attribute func(name string) (string, bool), data []byte) bool {
	for _, c := range f.attributes {
		value, ok := attribute(c.Attribute)
		if !ok || !c.holds(value) {
			return false
		}
	}
	if len(f.data) == 0 {
		return true
	}
	root, ok := decodeJSON(data)
	if !ok {
		return false
	}
	for _, c := range f.data {
		value, ok := lookUp(root, c.path)
		if !ok || !c.holds(value) {
			return false
		}
	}
	return true
}

func (c Condition) holds(value any) bool {
	if !c.Equals.IsZero() && !c.Equals.equals(value) ||
		!c.NotEquals.IsZero() && c.NotEquals.equals(value) ||
		!c.Contains.IsZero() && !c.Contains.contained(value) {
		return false
	}
	if !c.Greater.IsZero() {
		if sign, ok := c.Greater.order(value); !ok || sign <= 0 {
			return false
		}
	}
	if !c.Less.IsZero() {
		if sign, ok := c.Less.order(value); !ok || sign >= 0 {
			return false
		}
	}
	return true
}

// decodeJSON reads one value with its numbers as they were written.
func decodeJSON(data []byte) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var root any
	if err := d.Decode(&root); err != nil {
		return nil, false
	}
	_, err := d.Token()
	return root, errors.Is(err, io.EOF)
}

// lookUp follows a path through objects and lists.
func lookUp(value any, path []string) (any, bool) {
	for _, name := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			i, err := strconv.ParseUint(name, 10, 31)
			if err != nil || i >= uint64(len(v)) {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return value, value != nil
}
