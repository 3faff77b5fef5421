package config

import (
	"fmt"
	"slices"
	"strings"
)

// resolver replaces references and calls by what they stand for.
type resolver struct {
	root     *node
	vars     *table
	problems *problems
	lookup   func(name string) (string, bool)
	read     func(name string) (string, error)
	chain    []*entry // that are being resolved
}

// all resolves every variable and the whole tree.
func (r *resolver) all() {
	for _, e := range r.vars.entries {
		r.entry(e)
	}
	r.root = r.value(r.root)
}

// entry resolves the value of a key, once.
func (r *resolver) entry(e *entry) {
	if e.state != untouched {
		return
	}
	e.state = resolving
	r.chain = append(r.chain, e)
	e.value = r.value(e.value)
	r.chain = r.chain[:len(r.chain)-1]
	e.state = resolved
}

func (r *resolver) value(n *node) *node {
	switch n.kind {
	case kindTable:
		n.weight = 1
		for _, e := range n.table.entries {
			r.entry(e)
			n.weight += e.value.weight
		}
	case kindList:
		n.weight = 1
		for i, item := range n.items {
			n.items[i] = r.value(item)
			n.weight += n.items[i].weight
		}
	case kindPhrase:
		return r.weigh(r.phrase(n))
	case kindRef:
		return r.weigh(r.reference(n))
	case kindCall:
		return r.weigh(r.call(n))
	default:
		n.weight = 1 + len(n.text)/16
	}
	return r.weigh(n)
}

// weigh refuses what grew too large by references to references.
func (r *resolver) weigh(n *node) *node {
	switch n.kind {
	case kindTable, kindList:
	default:
		n.weight = 1 + len(n.text)/16
	}
	if n.weight <= maxWeight {
		return n
	}
	r.problems.at(n.pos(), "grows beyond %d values by its references", maxWeight)
	return &node{origin: n.origin}
}

// phrase puts a string together.
func (r *resolver) phrase(n *node) *node {
	whole := &node{kind: kindString, origin: n.origin}
	var b strings.Builder
	for _, p := range n.parts {
		if p.path == nil {
			b.WriteString(p.text)
			continue
		}
		v := r.find(p)
		switch v.kind {
		case kindBroken:
			whole.kind = kindBroken
		case kindList, kindTable, kindNull:
			r.problems.text(p.pos, showReference(p.path), "is %s and cannot be part of a string", v.kind.describe())
			whole.kind = kindBroken
		default:
		}
		whole.secret = whole.secret || v.secret
		if b.Len()+len(v.text) > maxFileSize {
			r.problems.text(p.pos, showReference(p.path), "makes the string longer than %d bytes", maxFileSize)
			whole.kind = kindBroken
			break
		}
		b.WriteString(v.text)
	}
	whole.text = b.String()
	return whole
}

// reference returns a copy of what n refers to, in n's place.
func (r *resolver) reference(n *node) *node {
	found := *r.find(n.parts[0])
	found.origin = Origin{Layer: File, Position: n.pos(), Via: found.origin.Via}
	return &found
}

// find returns the resolved value that a path leads to. What does not exist or is
// broken is reported and comes back as broken.
func (r *resolver) find(p part) *node {
	if len(r.chain) > maxReferences {
		r.problems.text(p.pos, showReference(p.path), "leads over more than %d references", maxReferences)
		return &node{}
	}
	t := r.root.table
	if strings.HasPrefix(p.path[0], "$") {
		t = r.vars
	}
	for i, key := range p.path {
		e := t.get(key)
		if e == nil {
			r.undefined(p, i, t)
			return &node{}
		}
		last := i == len(p.path)-1
		if last || e.value.kind != kindTable {
			if !r.settle(e, p) {
				return &node{}
			}
		}
		switch {
		case last || e.value.kind == kindBroken:
			return e.value
		case e.value.kind != kindTable:
			r.problems.text(p.pos, showReference(p.path), "is undefined: %s is %s", joinPath(p.path[:i+1]), e.value.kind.describe())
			return &node{}
		}
		t = e.value.table
	}
	return &node{}
}

// settle resolves an entry that p refers to, unless it is just being resolved.
func (r *resolver) settle(e *entry, p part) bool {
	if e.state != resolving {
		r.entry(e)
		return true
	}
	names := []string{}
	for _, link := range r.chain[slices.Index(r.chain, e):] {
		names = append(names, link.key)
	}
	r.problems.text(p.pos, showReference(p.path), "refers to itself: %s → %s", strings.Join(names, " → "), e.key)
	return false
}

func (r *resolver) undefined(p part, i int, t *table) {
	var known []string
	for _, e := range t.entries {
		known = append(known, e.key)
	}
	name := p.path[i]
	if i == 0 && len(p.path) == 1 && r.vars.get("$"+name) != nil {
		r.problems.text(p.pos, showReference(p.path), "is undefined: the variable is ${$%s}", name)
		return
	}
	r.problems.text(p.pos, showReference(p.path), "is undefined%s", didYouMean(name, known))
}

func showReference(path []string) string { return fmt.Sprintf("${%s}", strings.Join(path, ".")) }

// call resolves @env and @file.read. Their text has the type of the setting.
func (r *resolver) call(n *node) *node {
	for i, arg := range n.items {
		n.items[i] = r.value(arg)
	}
	name := n.items[0].text
	made := &node{kind: kindText, origin: n.origin}
	var err error
	switch n.text {
	case callRead:
		made.secret = true
		made.origin.Via = "file " + name
		made.text, err = r.read(name)
	default:
		var set bool
		made.origin.Via = "environment " + name
		made.text, set = r.lookup(name)
		if !set && len(n.items) > 1 {
			fallback := *n.items[1]
			fallback.origin = Origin{Layer: File, Position: n.pos(), Via: "the default of " + name}
			return &fallback
		}
		if !set {
			err = errUnset
		} else {
			err = checkText(made.text)
		}
	}
	if err != nil {
		r.problems.add(Problem{Origin: Origin{Layer: File, Position: n.pos()}, Text: "@" + n.text + "(" + quote(name) + ")", Message: err.Error(), Err: err})
		return &node{}
	}
	return made
}
