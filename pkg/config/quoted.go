package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// text gathers the parts of a string.
type text struct {
	parts  []part
	plain  strings.Builder
	broken bool
}

func (t *text) reference(p part) {
	t.flush()
	t.parts = append(t.parts, p)
}

func (t *text) flush() {
	if t.plain.Len() > 0 {
		t.parts = append(t.parts, part{text: t.plain.String()})
		t.plain.Reset()
	}
}

// finish emits the string that began at pos.
func (l *lexer) finish(pos Position, t *text) {
	if t.broken {
		l.emit(token{kind: tokenBroken, pos: pos})
		return
	}
	t.flush()
	l.emit(token{kind: tokenString, pos: pos, parts: t.parts})
}

// singleQuoted reads a string in which nothing has a meaning but the closing quote.
func (l *lexer) singleQuoted(pos Position) {
	var t text
	for l.next < len(l.src) && l.peek(0) != '\n' {
		if l.peek(0) == '\'' {
			l.skip(1)
			l.finish(pos, &t)
			return
		}
		l.character(&t)
	}
	l.unclosed(pos, "'")
}

// doubleQuoted reads a string with escapes and references, in one line.
func (l *lexer) doubleQuoted(pos Position) {
	var t text
	for l.next < len(l.src) && l.peek(0) != '\n' {
		if l.peek(0) == '"' {
			l.skip(1)
			l.finish(pos, &t)
			return
		}
		l.piece(&t)
	}
	l.unclosed(pos, `"`)
}

// longText reads a string of many lines. A line break right after the opening quotes
// is not part of it.
func (l *lexer) longText(pos Position) {
	var t text
	if l.has("\r\n") {
		l.skip(1)
	}
	if l.has("\n") {
		l.advance()
	}
	for l.next < len(l.src) {
		switch {
		case l.has(`"""`):
			l.skip(3)
			l.finish(pos, &t)
			return
		case l.has("\r\n"):
			l.skip(1)
		case l.has("\n"):
			t.plain.WriteRune(l.advance())
		default:
			l.piece(&t)
		}
	}
	l.unclosed(pos, `"""`)
}

func (l *lexer) unclosed(pos Position, quote string) {
	l.problems.text(pos, quote, "opens a string that is never closed")
	l.emit(token{kind: tokenBroken, pos: pos})
}

// piece reads a character, an escape or a reference.
func (l *lexer) piece(t *text) {
	pos := l.pos
	switch {
	case l.peek(0) == '\\':
		l.escape(t)
	case l.has("${"):
		path, ok := l.reference()
		t.broken = t.broken || !ok
		t.reference(part{path: path, pos: pos})
	case l.peek(0) == '$' && isLetter(l.peek(1)):
		l.problems.text(pos, "$", `before a letter in a string is neither text nor a reference: write ${$name}, \$ or single quotes`)
		t.broken = true
		l.skip(1)
	default:
		l.character(t)
	}
}

// character reads one that stands for itself.
func (l *lexer) character(t *text) {
	pos, start := l.pos, l.next
	r := l.advance()
	switch {
	case r == utf8.RuneError && l.next-start == 1:
		l.problems.at(pos, "is not UTF-8")
		t.broken = true
	case !isPlain(r):
		l.problems.at(pos, `is the control character %U: write it as \u%04x in double quotes`, r, r)
		t.broken = true
	default:
		t.plain.WriteRune(r)
	}
}

func (l *lexer) escape(t *text) {
	pos := l.pos
	l.skip(1)
	c := l.peek(0)
	if r, ok := escaped(c); ok {
		l.skip(1)
		t.plain.WriteByte(r)
		return
	}
	if c == 'u' && l.next+5 <= len(l.src) {
		code, err := strconv.ParseUint(l.src[l.next+1:l.next+5], 16, 16)
		if r := rune(code); err == nil && utf8.ValidRune(r) {
			l.skip(5)
			t.plain.WriteRune(r)
			return
		}
	}
	l.problems.text(pos, `\`, `begins an unknown escape: there are \n \t \r \" \' \\ \$ and \u0000`)
	t.broken = true
}

func escaped(c byte) (byte, bool) {
	switch c {
	case 'n':
		return '\n', true
	case 't':
		return '\t', true
	case 'r':
		return '\r', true
	case '"', '\'', '\\', '$':
		return c, true
	default:
		return 0, false
	}
}

// quote writes a string so that it is read as s.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '"' || r == '\\' || r == '$':
			b.WriteRune('\\')
			b.WriteRune(r)
		case !isPlain(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// quoteKey writes a key with quotes if it needs them.
func quoteKey(s string) string {
	if isName(s) {
		return s
	}
	return quote(s)
}

// joinPath writes the path of a setting as it stands in a section's brackets.
func joinPath(path []string) string {
	quoted := make([]string, len(path))
	for i, key := range path {
		quoted[i] = quoteKey(key)
	}
	return strings.Join(quoted, ".")
}
