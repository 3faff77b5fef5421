package config

import "strings"

type tokenKind int

const (
	tokenEOF tokenKind = iota
	tokenNewline
	tokenName      // letters, digits, _ and -, from a letter or _
	tokenWord      // starts like a number: 5, 1.5, 250ms, 64MiB
	tokenString    // any of the three kinds, in parts
	tokenVariable  // $name
	tokenReference // ${path}
	tokenCall      // @name or @name.name
	tokenMark      // one of [ ] { } ( ) : = ; , < > .
	tokenBroken    // already reported
	tokenStray     // a character that has no meaning here
)

// token is a piece of a file.
type token struct {
	kind  tokenKind
	pos   Position
	text  string // as the kind says: a name without its $ or @, a mark
	parts []part // of a string or a reference
}

// part is a piece of a string: plain text, or a reference when path is set.
type part struct {
	text string
	path []string // of a reference; a variable has one segment that starts with $
	pos  Position
}

func (t token) is(mark string) bool { return t.kind == tokenMark && t.text == mark }

// closes tells whether the token ends a block, a list or arguments.
func (t token) closes() bool { return t.is("}") || t.is("<") || t.is("]") || t.is(")") }

// plain returns the text of a string without references.
func (t token) plain() (string, bool) {
	var b strings.Builder
	for _, p := range t.parts {
		if p.path != nil {
			return "", false
		}
		b.WriteString(p.text)
	}
	return b.String(), t.kind == tokenString
}

// describe names a token without the text of a string, which may be a secret.
func (t token) describe() string {
	switch t.kind {
	case tokenEOF:
		return "the end of the file"
	case tokenNewline:
		return "the end of the line"
	case tokenString:
		return "a string"
	case tokenVariable, tokenReference:
		return "a reference"
	case tokenCall:
		return "@" + t.text
	default:
		return t.text
	}
}
