package config

import (
	"encoding/json"
	"slices"
	"strings"
)

// Operand is what a [Condition] compares with: a string, a number, or true or false.
// The zero value is none.
type Operand struct {
	kind   kind // kindString, kindInt (any number) or kindBool; kindBroken is none
	text   string
	number decimal
}

// Text returns an operand that is a string.
func Text(s string) Operand { return Operand{kind: kindString, text: s} }

// Number returns an operand that is a number as JSON writes it, such as 100 or 19.99.
// It is none when s is no number.
func Number(s string) Operand {
	d, ok := parseDecimal(s)
	if !ok {
		return Operand{}
	}
	return Operand{kind: kindInt, text: s, number: d}
}

// Bool returns an operand that is true or false.
func Bool(b bool) Operand {
	if b {
		return Operand{kind: kindBool, text: "true"}
	}
	return Operand{kind: kindBool, text: "false"}
}

// String returns the operand as it is written in a file.
func (o Operand) String() string {
	if o.kind == kindString {
		return quote(o.text)
	}
	return o.text
}

// IsZero tells whether there is no operand.
func (o Operand) IsZero() bool { return o.kind == kindBroken }

// operandOf reads an operand from a file.
func operandOf(n *node) (Operand, error) {
	switch n.kind {
	case kindString, kindText:
		return Text(n.text), nil
	case kindBool:
		return Bool(n.text == "true"), nil
	case kindInt, kindDecimal:
		if o := Number(n.text); !o.IsZero() {
			return o, nil
		}
		return Operand{}, errRange
	default:
		return Operand{}, kindError{n.kind, "a string, a number, true or false"}
	}
}

// equals compares with a value of JSON. A string that is written like a number counts
// as one where the operand is a number.
func (o Operand) equals(value any) bool {
	switch o.kind {
	case kindString:
		s, ok := value.(string)
		return ok && s == o.text
	case kindBool:
		b, ok := value.(bool)
		return ok && b == (o.text == "true")
	default:
		d, ok := numberOf(value)
		return ok && d.compare(o.number) == 0
	}
}

// order compares a value with the operand: 1 if the value is greater. Strings compare
// byte by byte.
func (o Operand) order(value any) (sign int, ok bool) {
	if o.kind == kindString {
		s, isString := value.(string)
		return strings.Compare(s, o.text), isString
	}
	d, ok := numberOf(value)
	return d.compare(o.number), ok
}

func numberOf(value any) (decimal, bool) {
	switch v := value.(type) {
	case json.Number:
		return parseDecimal(v.String())
	case string:
		return parseDecimal(v)
	default:
		return decimal{}, false
	}
}

// contained tells whether a string has the operand as a part, or a list as an element.
func (o Operand) contained(value any) bool {
	switch v := value.(type) {
	case string:
		return o.kind == kindString && strings.Contains(v, o.text)
	case []any:
		return slices.ContainsFunc(v, o.equals)
	}
	return false
}
