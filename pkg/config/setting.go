package config

import (
	"reflect"
	"slices"
)

// Setting is one value of a configuration.
type Setting struct {
	Path string // such as http.address; keys that are no names are quoted
	Type string // for people: duration, list of string
	// Value is as it is written in a file; empty when it cannot be; [Mask] for a secret.
	// Of a type with a method Redacted() string it is what that returns.
	Value  string
	Doc    string
	Origin Origin
	Secret bool // by its tag, or because @file.read read it
	Reload bool // may change while the program runs

	path    []string
	about   string // what its section is for
	plain   string // the value of a secret too
	example bool   // of a map that has no entries
}

// Mask stands for the value of a secret wherever it is printed.
const Mask = `"********"`

// Settings lists every setting of a struct with the value that it has there, those of
// a section before those of its subsections. Maps contribute the keys they hold. It
// panics when settings is neither a struct, nor a pointer to one, nor a [*Composite], or
// has a field that cannot be a setting.
func Settings(settings any) []Setting {
	v := reflect.Indirect(targetOf(settings))
	var l lister
	l.walk(Setting{}, v)
	return l.found
}

type lister struct {
	found  []Setting
	origin func(path string) (o Origin, masked bool) // nil: all are defaults
}

// walk lists what is below a value. The setting holds what is inherited.
func (l *lister) walk(at Setting, v reflect.Value) {
	switch shapeOf(v.Type()) {
	case shapeStruct:
		fields := fieldsOf(v.Type())
		for _, deep := range []bool{false, true} {
			for _, f := range fields {
				switch {
				case isSection(f.typ) != deep:
				case f.rest:
					l.walk(at.with(f), v.FieldByIndex(f.index))
				default:
					l.walk(at.below(f), v.FieldByIndex(f.index))
				}
			}
		}
	case shapeMap:
		for _, key := range sortedKeys(v) {
			l.walk(at.below(field{name: key.String(), doc: at.Doc}), v.MapIndex(key))
		}
	default:
		l.leaf(at, v)
	}
}

// isSection tells whether a field has settings below it.
func isSection(t reflect.Type) bool {
	s := shapeOf(t)
	return s == shapeStruct || s == shapeMap
}

func (s Setting) below(f field) Setting {
	s = s.with(f)
	s.path = append(slices.Clip(s.path), f.name)
	return s
}

// with returns what the settings of f inherit when it adds nothing to the path.
func (s Setting) with(f field) Setting {
	return Setting{path: s.path, about: s.Doc, Doc: f.doc, Secret: s.Secret || f.secret, Reload: s.Reload || f.reload}
}

func (l *lister) leaf(s Setting, v reflect.Value) {
	s.Path = joinPath(s.path)
	s.Type = typeName(v.Type())
	if l.origin != nil {
		origin, masked := l.origin(s.Path)
		s.Origin = origin
		s.Secret = s.Secret || masked
	}
	if text, ok := render(v); ok {
		s.plain = text
	}
	s.Value = s.plain
	if part, ok := reflect.TypeAssert[interface{ Redacted() string }](v); ok && s.plain != "" {
		s.Value = quote(part.Redacted())
	}
	if s.Secret && s.plain != "" && s.plain != `""` {
		s.Value = Mask
	}
	l.found = append(l.found, s)
}
