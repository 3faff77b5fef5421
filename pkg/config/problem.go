package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Origin  Origin
	Path    string // of the setting, such as http.address; empty when it belongs to none
	Text    string // what offends; empty for what may be a secret
	Message string
	Err     error // what caused it, such as fs.ErrNotExist; mostly nil

	hidden string   // the text, while it is not known whether the setting is a secret
	keys   []string // the path, as long as there is a hidden text
}

// String returns the place, the setting, the offending text and what is wrong with it,
// in one line.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Origin.String() + ": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	if p.Text != "" {
		fmt.Fprintf(&b, "%q ", shorten(p.Text))
	}
	b.WriteString(p.Message)
	return clean(b.String())
}

// InvalidError is all that is wrong with a configuration, sorted by place: files
// first, then the environment, then flags.
type InvalidError struct {
	Problems []Problem
	More     int // how many further ones were found and are not in Problems
}

// Error returns one line for each problem.
func (e *InvalidError) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.More))
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns what caused the problems, where something did.
func (e *InvalidError) Unwrap() []error {
	var causes []error
	for _, p := range e.Problems {
		if p.Err != nil {
			causes = append(causes, p.Err)
		}
	}
	return causes
}

// clean keeps a text in its line, whatever a file or its name put into it.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if isPlain(r) {
			return r
		}
		return '?'
	}, s)
}

// shorten keeps an offending text to what fits in a line.
func shorten(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// problems collects what is wrong.
type problems struct {
	found []Problem
	count int
}

func (ps *problems) add(p Problem) {
	ps.count++
	if len(ps.found) < maxProblems {
		ps.found = append(ps.found, p)
	}
}

// at adds a problem of a place in a file.
func (ps *problems) at(pos Position, format string, args ...any) {
	ps.add(Problem{Origin: Origin{Layer: File, Position: pos}, Message: fmt.Sprintf(format, args...)})
}

// text adds a problem of a place in a file, with the text that is there.
func (ps *problems) text(pos Position, text, format string, args ...any) {
	ps.add(Problem{Origin: Origin{Layer: File, Position: pos}, Text: text, Message: fmt.Sprintf(format, args...)})
}

// reveal shows the texts that may be shown under their path.
func (ps *problems) reveal(open func(keys []string) bool) {
	for i, p := range ps.found {
		if p.hidden != "" && open(p.keys) {
			ps.found[i].Text = p.hidden
		}
		ps.found[i].hidden, ps.found[i].keys = "", nil
	}
}

// err returns all problems as an [*InvalidError], or nil.
func (ps *problems) err() error {
	if ps.count == 0 {
		return nil
	}
	slices.SortStableFunc(ps.found, func(a, b Problem) int { return compareOrigins(a.Origin, b.Origin) })
	return &InvalidError{Problems: ps.found, More: ps.count - len(ps.found)}
}

func compareOrigins(a, b Origin) int {
	return cmp.Or(
		cmp.Compare(a.Layer, b.Layer),
		cmp.Compare(a.Position.File, b.Position.File),
		cmp.Compare(a.Position.Line, b.Position.Line),
		cmp.Compare(a.Position.Column, b.Position.Column),
		cmp.Compare(a.Name, b.Name),
	)
}

// eachError returns the errors that were joined to one; none of nil.
func eachError(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
