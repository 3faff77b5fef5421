package config

import (
	"bufio"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Print writes the effective configuration in the language of the files, each value
// with the place it comes from, secrets masked. What it writes can be read again,
// except that the masks stand in comments.
func (l *Loaded) Print(w io.Writer) error {
	b := bufio.NewWriter(w)
	sections(b, l.settings, func(s Setting) {
		fmt.Fprintf(b, "%s%s: %s  # %s\n", comment(s), key(s), shown(s), clean(s.Origin.String()))
	})
	if err := b.Flush(); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return nil
}

// Reference writes a documented file with every setting of a struct and the value
// that it has there, which is its default. Secrets, and what has no value that can be
// written, stand in comments. A map without entries is shown with one called NAME, in
// comments. It panics like [Settings].
func Reference(w io.Writer, settings any) error {
	b := bufio.NewWriter(w)
	sections(b, referenceSettings(settings), func(s Setting) {
		fmt.Fprintf(b, "\n")
		for _, line := range explain(s) {
			fmt.Fprintf(b, "# %s\n", line)
		}
		fmt.Fprintf(b, "%s%s: %s\n", comment(s), key(s), shown(s))
	})
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write configuration reference: %w", err)
	}
	return nil
}

const (
	exampleKey = "NAME"
	lineWidth  = 80
)

// referenceSettings lists a struct's settings, with an example in empty maps.
func referenceSettings(settings any) []Setting {
	v := reflect.Indirect(reflect.ValueOf(settings))
	existing := map[string]bool{}
	for _, s := range Settings(settings) {
		existing[s.Path] = true
	}
	filled := reflect.New(v.Type()).Elem()
	filled.Set(v)
	fillMaps(filled)
	all := Settings(filled.Interface())
	for i, s := range all {
		all[i].example = !existing[s.Path]
	}
	return all
}

func fillMaps(v reflect.Value) {
	switch shapeOf(v.Type()) {
	case shapeStruct:
		for _, f := range fieldsOf(v.Type()) {
			fillMaps(v.FieldByIndex(f.index))
		}
	case shapeMap:
		if v.Len() > 0 {
			return
		}
		example := reflect.New(v.Type().Elem()).Elem()
		fillMaps(example)
		one := reflect.MakeMap(v.Type())
		one.SetMapIndex(reflect.ValueOf(exampleKey).Convert(v.Type().Key()), example)
		v.Set(one)
	default:
	}
}

// sections writes the header of each section before its first setting.
func sections(w io.Writer, settings []Setting, each func(Setting)) {
	last, first := "", true
	for _, s := range settings {
		if section := joinPath(s.path[:len(s.path)-1]); section != last {
			if !first {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "%s[%s]\n", hash(s.example), section)
			last = section
		}
		first = false
		each(s)
	}
}

// comment returns what comes before a line: a # if it must not be read.
func comment(s Setting) string {
	return hash(s.example || s.plain == "" || s.Value == Mask)
}

func hash(on bool) string {
	if on {
		return "# "
	}
	return ""
}

func key(s Setting) string { return quoteKey(s.path[len(s.path)-1]) }

func shown(s Setting) string {
	if s.plain == "" {
		return "…"
	}
	return s.Value
}

// explain returns the lines above a setting.
func explain(s Setting) []string {
	notes := []string{s.Type}
	if s.Reload {
		notes = append(notes, "may change while running")
	}
	if s.Secret {
		notes = append(notes, `secret: use @file.read("…") or @env("…")`)
	}
	words := strings.Fields(s.Doc + " (" + strings.Join(notes, "; ") + ")")
	var lines []string
	line := ""
	for _, word := range words {
		if line != "" && len(line)+1+len(word) > lineWidth {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}
