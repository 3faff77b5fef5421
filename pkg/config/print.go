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
// comments. What would be explained in the same words again is not, and an example whose
// settings were all explained is left out. It panics like [Settings].
func Reference(w io.Writer, settings any) error {
	b := bufio.NewWriter(w)
	r := reference{Writer: b, said: map[string]bool{}}
	for _, s := range referenceSettings(settings) {
		r.setting(s)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write configuration reference: %w", err)
	}
	return nil
}

// reference writes settings one after another.
type reference struct {
	*bufio.Writer

	said    map[string]bool // explanations
	section string
	begun   bool
}

func (r *reference) setting(s Setting) {
	known := r.said[explain(s)]
	nothingNew := s.example && known && (s.about == "" || r.said[s.about])
	if in := joinPath(s.path[:len(s.path)-1]); in != r.section && !nothingNew {
		r.section = in
		r.blank()
		if s.about != "" {
			r.say(s.about)
		}
		fmt.Fprintf(r, "%s[%s]\n", hash(s.example), in)
	}
	if s.example && known {
		return
	}
	if !known {
		r.blank()
		r.say(explain(s))
	}
	r.begun = true
	fmt.Fprintf(r, "%s%s: %s\n", comment(s), key(s), shown(s))
}

// blank sets off what follows, unless nothing is before it.
func (r *reference) blank() {
	if r.begun {
		fmt.Fprintln(r)
	}
	r.begun = true
}

// say explains something, once.
func (r *reference) say(text string) {
	if r.said[text] {
		return
	}
	r.said[text] = true
	for _, line := range wrap(text) {
		fmt.Fprintf(r, "# %s\n", line)
	}
}

const (
	exampleKey = "NAME"
	lineWidth  = 80
)

// referenceSettings lists a struct's settings, with an example in empty maps.
func referenceSettings(settings any) []Setting {
	v := reflect.Indirect(targetOf(settings))
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
	return hash(s.example || s.plain == "" || s.Value != s.plain)
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

// explain returns what stands above a setting.
func explain(s Setting) string {
	notes := []string{s.Type}
	if s.Reload {
		notes = append(notes, "may change while running")
	}
	if s.Secret {
		notes = append(notes, `secret: use @file.read("…") or @env("…")`)
	}
	return s.Doc + " (" + strings.Join(notes, "; ") + ")"
}

// wrap breaks a text into lines.
func wrap(text string) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > lineWidth {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}
