package config

// value reads what stands behind a key. A value that is broken is reported and comes
// back as such.
func (p *parser) value() *node {
	t := p.peek()
	n := &node{origin: Origin{Layer: File, Position: t.pos}}
	switch {
	case t.kind == tokenString:
		p.take()
		if plain, ok := t.plain(); ok {
			n.kind, n.text = kindString, plain
		} else {
			n.kind, n.parts = kindPhrase, t.parts
		}
	case t.kind == tokenVariable:
		p.take()
		n.kind, n.parts = kindRef, []part{{path: []string{"$" + t.text}, pos: t.pos}}
	case t.kind == tokenReference:
		p.take()
		n.kind, n.parts = kindRef, t.parts
	case t.kind == tokenWord:
		p.word(n)
	case t.kind == tokenName:
		p.named(n)
	case t.kind == tokenCall:
		p.call(n)
	case t.is("["):
		p.take()
		return p.list(closer{"]", t.pos})
	case t.is("{"):
		p.take()
		return p.block(closer{"}", t.pos})
	default:
		p.unexpected("a value belongs")
		p.recover()
	}
	return n
}

// word reads a number or a quantity.
func (p *parser) word(n *node) {
	t := p.peek()
	k, ok := classify(t.text)
	if !ok {
		p.offend(t, "is neither a number nor a duration or size; a string needs quotes")
		p.recover()
		return
	}
	p.take()
	n.kind, n.text = k, t.text
}

// named reads true, false and null.
func (p *parser) named(n *node) {
	t := p.peek()
	switch t.text {
	case "true", "false":
		n.kind, n.text = kindBool, t.text
	case "null":
		n.kind = kindNull
	default:
		p.offend(t, "is no value; a string needs quotes")
		p.recover()
		return
	}
	p.take()
}

// offend reports a word that may turn out to be a secret without quotes.
func (p *parser) offend(t token, message string) {
	p.problems.add(Problem{Origin: Origin{Layer: File, Position: t.pos}, Path: p.where(), Message: message, hidden: t.text, keys: p.path})
}

// call reads @env(…) and @file.read(…), and refuses all others by name.
func (p *parser) call(n *node) {
	t := p.take()
	if t.text != callEnv && t.text != callRead {
		p.problems.text(t.pos, "@"+t.text, "%s", refusal(t.text))
		p.skipCall()
		return
	}
	open := p.peek()
	if !p.accept("(") {
		p.unexpected("( belongs")
		p.recover()
		return
	}
	args, ok := p.items(closer{")", open.pos})
	most := 1
	if t.text == callEnv {
		most = 2
	}
	if !ok {
		return
	}
	if len(args) == 0 || len(args) > most || args[0].kind != kindString {
		p.problems.text(t.pos, "@"+t.text, "%s", usage(t.text))
		return
	}
	n.kind, n.text, n.items = kindCall, t.text, args
}

// skipCall skips the arguments of a refused call, over all their lines, and the rest
// of the statement.
func (p *parser) skipCall() {
	if p.peek().is("(") {
		var depth int
		for i := p.next; i < len(p.tokens); i++ {
			switch t := p.tokens[i]; {
			case t.is("("):
				depth++
			case t.is(")"):
				depth--
			}
			if depth == 0 {
				p.next = i + 1
				break
			}
		}
	}
	p.recover()
}

// list reads up to the closing bracket.
func (p *parser) list(c closer) *node {
	n := &node{origin: Origin{Layer: File, Position: c.pos}}
	if items, ok := p.items(c); ok {
		n.kind, n.items = kindList, items
	}
	return n
}

// items reads values with commas or line breaks between them.
func (p *parser) items(c closer) (items []*node, ok bool) {
	if !p.enter(c) {
		return nil, false
	}
	defer p.leave()
	for {
		for p.peek().kind == tokenNewline {
			p.take()
		}
		t := p.peek()
		switch {
		case p.accept(c.mark):
			return items, true
		case t.kind == tokenEOF || p.beginsStatement():
			p.neverClosed(c)
			return items, false
		case t.closes():
			p.mismatch(c)
			return items, false
		}
		items = append(items, p.value())
		if t := p.peek(); p.accept(",") || t.closes() || t.kind == tokenNewline || t.kind == tokenEOF {
			continue
		}
		p.unexpected("a comma or " + c.mark + " belongs")
		p.recover()
		if p.peek().is(";") {
			p.take()
		}
		p.accept(",")
	}
}

// beginsStatement tells whether a line begins here that is none of a list.
func (p *parser) beginsStatement() bool {
	if p.peek().kind != tokenName || p.tokens[p.next-1].kind != tokenNewline {
		return false
	}
	next := p.tokens[p.next+1]
	return next.is(":") || next.is("=") || next.is("{") || next.is(">")
}

// block reads statements up to the closing mark.
func (p *parser) block(c closer) *node {
	n := newTable(c.pos, block)
	if !p.enter(c) {
		return &node{}
	}
	defer p.leave()
	path := p.path
	for {
		p.path = path
		t := p.peek()
		switch {
		case t.kind == tokenNewline || t.is(";") || t.is(","):
			p.take()
		case p.accept(c.mark):
			return n
		case t.kind == tokenEOF || t.is("["):
			p.neverClosed(c)
			return n
		case t.closes():
			p.mismatch(c)
			return n
		default:
			p.statement(n.table)
		}
	}
}

// enter notes an open bracket. Beyond the limit it gives the rest of the file up.
func (p *parser) enter(c closer) bool {
	if len(p.opened) >= maxDepth {
		p.problems.at(c.pos, "is deeper than %d blocks and lists in each other; the rest of the file is not read", maxDepth)
		p.opened = nil
		p.next = len(p.tokens) - 1
		return false
	}
	p.opened = append(p.opened, c)
	return true
}

func (p *parser) leave() {
	if len(p.opened) > 0 {
		p.opened = p.opened[:len(p.opened)-1]
	}
}

func (p *parser) neverClosed(c closer) {
	if len(p.opened) > 0 { // else the rest was given up
		p.problems.text(c.pos, opening(c.mark), "is never closed with %s", c.mark)
	}
}

// mismatch reports a closing mark of the wrong kind. It is taken for the right one
// unless an outer bracket waits for it.
func (p *parser) mismatch(c closer) {
	t := p.peek()
	for _, outer := range p.opened[:max(len(p.opened)-1, 0)] {
		if outer.mark == t.text {
			p.neverClosed(c)
			return
		}
	}
	p.problems.text(t.pos, t.text, "closes nothing: %s at %s waits for %s", opening(c.mark), c.pos, c.mark)
	p.take()
}

func opening(mark string) string {
	switch mark {
	case "}":
		return "{"
	case "]":
		return "["
	case ")":
		return "("
	default:
		return ">"
	}
}
