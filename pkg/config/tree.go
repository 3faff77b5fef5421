package config

import "strings"

type kind int

const (
	kindBroken   kind = iota // already reported
	kindNull                 //
	kindBool                 // text is true or false
	kindInt                  // text is a whole number
	kindDecimal              // text is a number with a point or an exponent
	kindQuantity             // text is a number with a unit: 250ms, 64MiB
	kindString               // text
	kindText                 // text from outside, whose type is that of the setting
	kindList                 // items
	kindTable                // table
	kindPhrase               // parts, until it is resolved: a string with references
	kindRef                  // parts[0], until it is resolved: a reference alone
	kindCall                 // text is the name, items the arguments, until it is resolved
)

// node is a value with its place.
type node struct {
	kind   kind
	origin Origin
	text   string
	parts  []part
	items  []*node
	table  *table

	secret bool // read by @file.read, or made of what was
	weight int  // of a resolved value: itself with all that is in it
}

func (n *node) pos() Position { return n.origin.Position }

// describe names what a value is, for messages.
func (k kind) describe() string {
	switch k {
	case kindNull:
		return "null"
	case kindBool:
		return "true or false"
	case kindInt, kindDecimal:
		return "a number"
	case kindQuantity:
		return "a number with a unit"
	case kindList:
		return "a list"
	case kindTable:
		return "a block"
	default:
		return "a string"
	}
}

// form says how a table was written, and with it whether it may be opened again.
type form int

const (
	implied form = iota // by [a.b], which makes an a
	section             // [a]
	block               // a { … } and a > … <
)

// table is a set of keys in the order in which they were written.
type table struct {
	form    form
	entries []*entry
	index   map[string]*entry
}

// entry is a key with its value.
type entry struct {
	key   string
	pos   Position // of the key
	value *node
	state state
}

type state int

const (
	untouched state = iota
	resolving
	resolved
)

func (t *table) get(key string) *entry { return t.index[key] }

func (t *table) add(e *entry) {
	if t.index == nil {
		t.index = map[string]*entry{}
	}
	t.index[e.key] = e
	t.entries = append(t.entries, e)
}

func newTable(pos Position, f form) *node {
	return &node{kind: kindTable, origin: Origin{Layer: File, Position: pos}, table: &table{form: f}}
}

// merge adds to t what under has and t has not. Tables that both have are merged,
// everything else t wins.
func (t *table) merge(under *table) {
	for _, e := range under.entries {
		mine := t.get(e.key)
		switch {
		case mine == nil:
			t.add(e)
		case mine.value.kind == kindTable && e.value.kind == kindTable:
			mine.value.table.merge(e.value.table)
		}
	}
}

// set puts a value at a path, with the tables that lead there. It tells whether it
// could: not where the path leads through something that is no table. Tables may be
// shared by references, so those on the way are copied.
func (n *node) set(path []string, value *node) bool {
	n.table = n.table.clone()
	key := path[0]
	e := n.table.get(key)
	if e == nil {
		e = &entry{key: key, value: &node{kind: kindTable, origin: value.origin, table: &table{}}}
		n.table.add(e)
	}
	if len(path) == 1 {
		e.value = value
		return true
	}
	if e.value.kind != kindTable {
		return false
	}
	below := *e.value
	e.value = &below
	return below.set(path[1:], value)
}

func (t *table) clone() *table {
	copied := &table{form: t.form}
	for _, e := range t.entries {
		same := *e
		copied.add(&same)
	}
	return copied
}

// document is one file, read but not resolved.
type document struct {
	root    *node
	vars    *table // by name with the $
	imports []importing
}

// importing is a request to read another file.
type importing struct {
	name string
	pos  Position
}

// classify tells what kind of word something that starts like a number is.
func classify(word string) (kind, bool) {
	digits := strings.TrimPrefix(word, "-")
	switch {
	case isNumber(digits):
		if strings.ContainsAny(digits, ".eE") {
			return kindDecimal, true
		}
		return kindInt, true
	case isQuantity(digits):
		return kindQuantity, true
	default:
		return kindBroken, false
	}
}

// isNumber tells whether s is a number as JSON writes it, without a sign.
func isNumber(s string) bool {
	whole, rest := cutDigits(s)
	if whole == "" || len(whole) > 1 && whole[0] == '0' {
		return false
	}
	if after, ok := strings.CutPrefix(rest, "."); ok {
		fraction, more := cutDigits(after)
		if fraction == "" {
			return false
		}
		rest = more
	}
	if rest == "" {
		return true
	}
	if rest[0] != 'e' && rest[0] != 'E' {
		return false
	}
	rest = rest[1:]
	if rest != "" && (rest[0] == '+' || rest[0] == '-') {
		rest = rest[1:]
	}
	exponent, more := cutDigits(rest)
	return exponent != "" && more == ""
}

// isQuantity tells whether s is numbers and units in turn: 5s, 1h30m, 1.5GiB.
func isQuantity(s string) bool {
	for s != "" {
		number := strings.TrimLeft(s, "0123456789.")
		unit := strings.TrimLeft(number, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
		if len(number) == len(s) || len(unit) == len(number) {
			return false
		}
		s = unit
	}
	return true
}

func cutDigits(s string) (digits, rest string) {
	rest = strings.TrimLeft(s, "0123456789")
	return s[:len(s)-len(rest)], rest
}
