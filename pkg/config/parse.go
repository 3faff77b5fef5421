package config

import (
	"slices"
	"strings"
)

// parser makes a tree of the tokens of one file. After a problem it goes on with the
// next statement.
type parser struct {
	tokens   []token
	next     int
	problems *problems
	doc      *document

	current *node    // the section that statements belong to
	path    []string // of what is being read
	opened  []closer // brackets that are open, from the outside
}

// closer is an open block or list and what ends it.
type closer struct {
	mark string
	pos  Position
}

// parse reads a file. What it returns holds all that could be read.
func parse(file, src string, ps *problems) *document {
	p := &parser{tokens: lex(file, src, ps), problems: ps}
	p.doc = &document{root: newTable(Position{File: file, Line: 1, Column: 1}, section), vars: &table{}}
	p.current = p.doc.root
	var place []string // of the section
	for p.peek().kind != tokenEOF {
		p.path, p.opened = place, nil
		switch t := p.peek(); {
		case t.kind == tokenNewline || t.is(";"):
			p.take()
		case t.is("["):
			place = p.section()
		case t.closes():
			p.problems.text(t.pos, t.text, "closes nothing")
			p.take()
		case t.kind == tokenVariable:
			p.variable()
		default:
			p.statement(p.current.table)
		}
	}
	return p.doc
}

func (p *parser) peek() token { return p.tokens[p.next] }

// take returns the next token. The end of the file is never left behind.
func (p *parser) take() token {
	t := p.tokens[p.next]
	if t.kind != tokenEOF {
		p.next++
	}
	return t
}

func (p *parser) accept(mark string) bool {
	if p.peek().is(mark) {
		p.next++
		return true
	}
	return false
}

// unexpected reports the next token, unless that was done already. What a word says
// waits until it is known whether the setting is a secret.
func (p *parser) unexpected(want string) {
	t := p.peek()
	problem := Problem{Origin: Origin{Layer: File, Position: t.pos}, Path: p.where(), Message: "is not expected: " + want + " here"}
	switch t.kind {
	case tokenBroken:
		return
	case tokenName, tokenWord:
		problem.hidden, problem.keys = t.text, p.path
	case tokenMark, tokenStray, tokenCall:
		problem.Text = t.describe()
	default:
		problem.Message = t.describe() + " " + problem.Message
	}
	switch {
	case t.kind == tokenStray && strings.Contains("+-*/%?!&|", t.text):
		problem.Message += "; there are no expressions: join strings with ${…}"
	case t.kind == tokenStray && t.text == "$":
		problem.Message += "; a variable is $name"
	}
	p.problems.add(problem)
}

// where returns the path of what is being read.
func (p *parser) where() string {
	if len(p.path) == 1 && strings.HasPrefix(p.path[0], "$") {
		return p.path[0]
	}
	return joinPath(p.path)
}

// recover skips to the end of the statement, and over what is bracketed in it.
func (p *parser) recover() {
	var depth int
	for {
		t := p.peek()
		switch {
		case t.kind == tokenEOF || t.kind == tokenNewline:
			return
		case t.is("(") || t.is("[") || t.is("{"):
			depth++
		case t.closes():
			if depth == 0 {
				return
			}
			depth--
		case depth == 0 && (t.is(";") || t.is(",")):
			return
		}
		p.take()
	}
}

// section reads [a.b] and returns its path.
func (p *parser) section() []string {
	open := p.take()
	p.path, p.current = nil, newTable(open.pos, section) // of a broken header nothing is kept
	var keys []token
	for {
		key, ok := p.key()
		if !ok {
			p.unexpected("a section's name belongs, [name] or [name.name]")
			p.toLineEnd()
			return nil
		}
		keys = append(keys, key)
		p.path = append(p.path, key.text)
		if !p.accept(".") {
			break
		}
	}
	if !p.accept("]") {
		p.unexpected("the section's ] belongs")
		p.toLineEnd()
		return p.path
	}
	p.endOfStatement()
	if len(keys) > maxDepth {
		p.problems.at(open.pos, "is deeper than %d names", maxDepth)
		return p.path
	}
	p.open(open.pos, keys)
	return p.path
}

func (p *parser) toLineEnd() {
	for k := p.peek().kind; k != tokenEOF && k != tokenNewline; k = p.peek().kind {
		p.take()
	}
}

// open makes a section the current one.
func (p *parser) open(pos Position, keys []token) {
	t := p.doc.root
	for i, key := range keys {
		last := i == len(keys)-1
		e := t.table.get(key.text)
		switch {
		case e == nil:
			e = &entry{key: key.text, pos: key.pos, value: newTable(pos, implied)}
			t.table.add(e)
		case e.value.kind == kindBroken:
			return
		case e.value.kind != kindTable || e.value.table.form == block || last && e.value.table.form == section:
			p.problems.text(key.pos, joinPath(p.path[:i+1]), "was set before, at %s", e.pos)
			return
		}
		t = e.value
	}
	t.table.form, t.origin.Position = section, pos
	p.current = t
}

// key reads a name or a quoted key.
func (p *parser) key() (token, bool) {
	t := p.peek()
	if t.kind == tokenName {
		return p.take(), true
	}
	if plain, ok := t.plain(); ok {
		p.take()
		t.text = plain
		return t, true
	}
	return t, false
}

// variable reads $name: value.
func (p *parser) variable() {
	name := p.take()
	p.path = []string{"$" + name.text}
	if !p.accept(":") && !p.accept("=") {
		p.unexpected(": or = belongs")
		p.recover()
		return
	}
	value := p.value()
	p.endOfStatement()
	p.add(p.doc.vars, name, "$"+name.text, value)
}

// statement reads key: value, key = value, key { … } or key > … <.
func (p *parser) statement(t *table) {
	start := p.peek()
	key, ok := p.key()
	if !ok {
		p.misplaced(start)
		return
	}
	p.path = append(slices.Clip(p.path), key.text)
	importing := start.kind == tokenName && key.text == "import" && t == p.doc.root.table
	var value *node
	switch next := p.peek(); {
	case importing && (p.accept(":") || p.accept("=")):
		p.importing()
		return
	case p.accept(":") || p.accept("="):
		value = p.value()
	case next.is("{"):
		p.take()
		value = p.block(closer{"}", next.pos})
	case next.is(">"):
		p.take()
		value = p.block(closer{"<", next.pos})
	default:
		p.unexpected("one of : = { > belongs")
		p.recover()
		value = &node{}
	}
	p.endOfStatement()
	p.add(t, key, key.text, value)
}

// misplaced reports what begins no statement.
func (p *parser) misplaced(t token) {
	switch t.kind {
	case tokenVariable:
		p.problems.text(t.pos, "$"+t.text, "is set inside a block: variables are for the whole file and stand outside")
	case tokenCall:
		p.problems.text(t.pos, "@"+t.text, "%s", refusal(t.text))
	default:
		p.unexpected("a key belongs")
	}
	p.take()
	p.recover()
}

// add puts a key into a table, once.
func (p *parser) add(t *table, at token, key string, value *node) {
	if before := t.get(key); before != nil {
		p.problems.text(at.pos, key, "was set before, at %s", before.pos)
		return
	}
	t.add(&entry{key: key, pos: at.pos, value: value})
}

// endOfStatement wants a line to end, or what may stand between two statements.
func (p *parser) endOfStatement() {
	t := p.peek()
	switch {
	case t.kind == tokenEOF || t.kind == tokenNewline || t.is(";"):
		return
	case len(p.opened) > 0 && (t.is(",") || t.is("}") || t.is("<")):
		return
	case p.next > 0 && p.tokens[p.next-1].kind == tokenNewline:
		return // a block or list that is never closed ended before this line
	}
	p.unexpected("the line should end")
	p.accept(",")
	p.recover()
}

// importing reads what follows import: a file's name or a list of them.
func (p *parser) importing() {
	value := p.value()
	p.endOfStatement()
	files := []*node{value}
	if value.kind == kindList {
		files = value.items
	}
	for _, f := range files {
		switch f.kind {
		case kindString:
			p.doc.imports = append(p.doc.imports, importing{f.text, f.pos()})
		case kindBroken:
		default:
			p.problems.at(f.pos(), "import takes the name of a file in quotes, without references")
		}
	}
}
