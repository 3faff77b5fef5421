package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/bojanz/currency"
)

// field is one field of a struct of settings, as its tags describe it.
type field struct {
	index  []int
	name   string
	typ    reflect.Type
	doc    string
	secret bool
	reload bool
	rest   bool   // a map of the blocks that no other field names
	alias  string // another variable that sets it
}

const (
	// rest is the name of the field that takes all blocks which have no field of their own.
	rest = "*"
	// inline is the name of a struct whose fields are those of the struct around it.
	inline = "."
)

// fieldsOf returns the fields of a struct in their order, those of embedded structs
// in place. It panics on what cannot be a setting: that is a mistake in the program.
func fieldsOf(t reflect.Type) []field {
	fields := appendFields(nil, t, nil)
	seen := map[string]bool{}
	for _, f := range fields {
		if seen[f.name] {
			panic(fmt.Sprintf("config: %s has two fields for %q", t, f.name))
		}
		if f.rest && (shapeOf(f.typ) != shapeMap || !isSection(f.typ.Elem())) {
			panic(fmt.Sprintf("config: the rest of %s is a %s and no map of blocks", t, f.typ))
		}
		seen[f.name] = true
	}
	return fields
}

func appendFields(fields []field, t reflect.Type, at []int) []field {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(slices.Clip(at), i)
		name, tagged := f.Tag.Lookup("config")
		switch {
		case name == "-" || !f.IsExported():
			continue
		case isInline(f) && shapeOf(f.Type) == shapeStruct:
			fields = appendFields(fields, f.Type, index)
			continue
		case shapeOf(f.Type) == shapeNone:
			panic(fmt.Sprintf("config: %s.%s is a %s, which is no type for a setting", t, f.Name, f.Type))
		case !tagged:
			name = snake(f.Name)
		}
		fields = append(fields, field{
			index: index, name: name, typ: f.Type,
			doc: f.Tag.Get("doc"), secret: f.Tag.Get("secret") == "true", reload: f.Tag.Get("reload") == "true",
			rest: name == rest, alias: f.Tag.Get("env"),
		})
	}
	return fields
}

// isInline tells whether the fields of f count as those of the struct around it.
func isInline(f reflect.StructField) bool {
	name, tagged := f.Tag.Lookup("config")
	return name == inline || f.Anonymous && !tagged
}

// snake returns the name of a field as a key: AttemptTimeout is attempt_timeout, and
// HTTPAddress is http_address.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 &&
			(unicode.IsLower(runes[i-1]) || unicode.IsDigit(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// shape says how the values of a type are made.
type shape int

const (
	shapeNone shape = iota
	shapeScalar
	shapeList
	shapeMap
	shapeStruct
)

func shapeOf(t reflect.Type) shape {
	if isSpecial(t) {
		return shapeScalar
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return shapeScalar
	case reflect.Slice:
		if shapeOf(t.Elem()) == shapeNone {
			return shapeNone
		}
		return shapeList
	case reflect.Map:
		if t.Key().Kind() != reflect.String || shapeOf(t.Elem()) == shapeNone {
			return shapeNone
		}
		return shapeMap
	case reflect.Struct:
		return shapeStruct
	default:
		return shapeNone
	}
}

// isSpecial tells whether a type has a reading of its own.
func isSpecial(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[time.Duration](), reflect.TypeFor[Size](), reflect.TypeFor[currency.Amount](), reflect.TypeFor[Operand]():
		return true
	}
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// typeName names a type for people.
func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t == reflect.TypeFor[Size]():
		return "size"
	case t == reflect.TypeFor[currency.Amount]():
		return "money"
	case t == reflect.TypeFor[Operand]():
		return "string, number, true or false"
	case isSpecial(t):
		return "string"
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Map, reflect.Struct:
		return "block"
	default:
		return "whole number"
	}
}

// check panics when something below t cannot be a setting.
func check(t reflect.Type, depth int) {
	if depth > maxDepth {
		panic(fmt.Sprintf("config: %s holds itself", t))
	}
	switch shapeOf(t) {
	case shapeStruct:
		for _, f := range fieldsOf(t) {
			check(f.typ, depth+1)
		}
	case shapeMap, shapeList:
		check(t.Elem(), depth+1)
	default:
	}
}

// isOpen tells whether a path leads to a setting that is no secret. What leads nowhere
// may be a secret under a misspelt name.
func isOpen(t reflect.Type, path []string) bool {
	for shapeOf(t) == shapeList {
		t = t.Elem()
	}
	if len(path) == 0 {
		return shapeOf(t) == shapeScalar
	}
	switch shapeOf(t) {
	case shapeMap:
		return isOpen(t.Elem(), path[1:])
	case shapeStruct:
		var others *field
		for _, f := range fieldsOf(t) {
			if f.name == path[0] && !f.rest {
				return !f.secret && isOpen(f.typ, path[1:])
			}
			if f.rest {
				others = &f
			}
		}
		return others != nil && !others.secret && isOpen(others.typ, path)
	default:
	}
	return false
}
