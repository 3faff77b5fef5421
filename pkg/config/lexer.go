package config

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// lexer cuts a file into tokens. It goes on after whatever it cannot read.
type lexer struct {
	src      string
	next     int // offset of what is not read yet
	pos      Position
	problems *problems
	tokens   []token
}

// lex returns the tokens of a file; the last is the end of the file.
func lex(file, src string, ps *problems) []token {
	l := &lexer{src: strings.TrimPrefix(src, "\ufeff"), pos: Position{File: file, Line: 1, Column: 1}, problems: ps}
	for l.next < len(l.src) {
		l.token()
	}
	l.emit(token{kind: tokenEOF, pos: l.pos})
	return l.tokens
}

func (l *lexer) emit(t token) { l.tokens = append(l.tokens, t) }

// peek returns the character n bytes ahead, 0 at the end; enough for ASCII.
func (l *lexer) peek(n int) byte {
	if l.next+n < len(l.src) {
		return l.src[l.next+n]
	}
	return 0
}

func (l *lexer) has(prefix string) bool { return strings.HasPrefix(l.src[l.next:], prefix) }

// advance reads one character.
func (l *lexer) advance() rune {
	r, size := utf8.DecodeRuneInString(l.src[l.next:])
	l.next += size
	if r == '\n' {
		l.pos.Line++
		l.pos.Column = 1
	} else {
		l.pos.Column++
	}
	return r
}

// skip reads n ASCII characters of one line.
func (l *lexer) skip(n int) {
	l.next += n
	l.pos.Column += n
}

// while reads bytes of ASCII that are wanted, and returns them.
func (l *lexer) while(wanted func(byte) bool) string {
	start := l.next
	for l.next < len(l.src) && wanted(l.src[l.next]) {
		l.skip(1)
	}
	return l.src[start:l.next]
}

func (l *lexer) token() {
	pos := l.pos
	switch c := l.peek(0); {
	case c == '\n':
		l.advance()
		l.emit(token{kind: tokenNewline, pos: pos})
	case c == ' ' || c == '\t' || c == '\r':
		l.skip(1)
	case c == '#':
		l.directive()
		l.comment()
	case l.has("//"):
		l.comment()
	case l.has(`"""`):
		l.skip(3)
		l.longText(pos)
	case c == '"':
		l.skip(1)
		l.doubleQuoted(pos)
	case c == '\'':
		l.skip(1)
		l.singleQuoted(pos)
	case isLetter(c):
		l.emit(token{kind: tokenName, pos: pos, text: l.while(isNameByte)})
	case isDigit(c) || (c == '-' || c == '+') && isDigit(l.peek(1)):
		l.skip(1)
		l.emit(token{kind: tokenWord, pos: pos, text: string(c) + l.while(isWordByte)})
	case c == '$':
		l.dollar(pos)
	case c == '@':
		l.skip(1)
		l.emit(token{kind: tokenCall, pos: pos, text: l.while(func(c byte) bool { return isNameByte(c) || c == '.' })})
	case strings.IndexByte("[]{}():=;,<>.", c) >= 0:
		l.skip(1)
		l.emit(token{kind: tokenMark, pos: pos, text: string(c)})
	default:
		l.stray(pos)
	}
}

// stray reads a character that means nothing outside a string.
func (l *lexer) stray(pos Position) {
	start := l.next
	r := l.advance()
	if r == utf8.RuneError && l.next-start == 1 {
		l.problems.at(pos, "is not UTF-8")
		l.emit(token{kind: tokenBroken, pos: pos})
		return
	}
	l.emit(token{kind: tokenStray, pos: pos, text: string(r)})
}

func (l *lexer) comment() {
	for l.next < len(l.src) && l.peek(0) != '\n' {
		if pos, start := l.pos, l.next; l.advance() == utf8.RuneError && l.next-start == 1 {
			l.problems.at(pos, "is not UTF-8")
		}
	}
}

// directive refuses a # that gives an order. Only known names count, and only at the
// beginning of a line and without a space, so that a comment is hardly ever taken for
// one.
func (l *lexer) directive() {
	if n := len(l.tokens); n > 0 && l.tokens[n-1].kind != tokenNewline {
		return
	}
	rest := l.src[l.next+1:]
	name := rest[:len(rest)-len(strings.TrimLeftFunc(rest, func(r rune) bool { return r < utf8.RuneSelf && isNameByte(byte(r)) }))]
	if isDirective(name) {
		l.problems.text(l.pos, "#"+name, "is a directive, which is refused: a configuration runs nothing (a comment needs a space after the #)")
	}
}

func isDirective(name string) bool {
	switch name {
	case "api", "auth", "cache", "cli", "cron", "css", "custom", "hash", "http", "include", "middleware", "php",
		"rate-limit", "route", "web", "webhook", "websocket":
		return true
	}
	return false
}

// dollar reads $name or ${path}.
func (l *lexer) dollar(pos Position) {
	if l.peek(1) == '{' {
		if path, ok := l.reference(); ok {
			l.emit(token{kind: tokenReference, pos: pos, parts: []part{{path: path, pos: pos}}})
			return
		}
		l.emit(token{kind: tokenBroken, pos: pos})
		return
	}
	l.skip(1)
	if !isLetter(l.peek(0)) {
		l.emit(token{kind: tokenStray, pos: pos, text: "$"})
		return
	}
	l.emit(token{kind: tokenVariable, pos: pos, text: l.while(isNameByte)})
}

// reference reads ${name.name} or ${$name}, and reports one that is broken.
func (l *lexer) reference() (path []string, ok bool) {
	pos := l.pos
	l.skip(2)
	if l.peek(0) == '$' {
		l.skip(1)
		path = []string{"$" + l.while(isNameByte)}
		ok = len(path[0]) > 1
	} else {
		path = strings.Split(l.while(func(c byte) bool { return isNameByte(c) || c == '.' }), ".")
		ok = true
		for _, name := range path {
			ok = ok && name != "" && isLetter(name[0])
		}
	}
	if !ok || l.peek(0) != '}' {
		l.problems.text(pos, "${", "begins a reference that is not of the form ${section.key} or ${$name}")
		if l.peek(0) == '}' {
			l.skip(1)
		}
		return nil, false
	}
	l.skip(1)
	return path, true
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }

func isNameByte(c byte) bool { return isLetter(c) || isDigit(c) || c == '-' }

func isWordByte(c byte) bool {
	return isLetter(c) || isDigit(c) || c == '.' || c == '-' || c == '+' || c == '%'
}

// isName tells whether a key needs no quotes.
func isName(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return s != "" && isLetter(s[0])
}

// isPlain tells whether a character may stand in a string as it is.
func isPlain(r rune) bool { return r == '\t' || !unicode.IsControl(r) }
