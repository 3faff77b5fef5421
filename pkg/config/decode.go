package config

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// decoder puts a resolved tree into a struct of settings.
type decoder struct {
	problems *problems
	origins  map[string]Origin
	masked   map[string]bool // paths whose value was read by @file.read
	unread   []string        // paths whose value could not be read
}

// place is the setting that is being decoded.
type place struct {
	path   []string
	inside string // what leads on inside a list, which is one setting
	secret bool
}

func (p place) below(name string, secret bool) place {
	p.secret = p.secret || secret
	if p.inside != "" {
		p.inside += "." + quoteKey(name)
		return p
	}
	p.path = append(slices.Clip(p.path), name)
	return p
}

// with returns the same place for a field that adds nothing to the path.
func (p place) with(secret bool) place {
	p.secret = p.secret || secret
	return p
}

func (p place) item(i int) place {
	p.inside += "[" + strconv.Itoa(i) + "]"
	return p
}

func (p place) String() string { return joinPath(p.path) + p.inside }

// decode puts n into v, which holds the default. Maps in it are replaced and not
// changed.
func (d *decoder) decode(at place, n *node, v reflect.Value) {
	if n.kind == kindBroken {
		d.unread = append(d.unread, at.String())
		return
	}
	shape := shapeOf(v.Type())
	if at.inside == "" && shape != shapeStruct && shape != shapeMap {
		d.origins[at.String()] = n.origin
		d.masked[at.String()] = hasSecret(n)
	}
	switch shape {
	case shapeStruct:
		d.fields(at, n, v)
	case shapeMap:
		d.mapped(at, n, v)
	case shapeList:
		d.list(at, n, v)
	default:
		if err := scalar(n, v); err != nil {
			d.wrong(at, n, err)
		}
	}
}

// hasSecret tells whether a value was read from a file of secrets, or a part of it.
func hasSecret(n *node) bool {
	if n.secret || slices.ContainsFunc(n.items, hasSecret) {
		return true
	}
	return n.kind == kindTable && slices.ContainsFunc(n.table.entries, func(e *entry) bool { return hasSecret(e.value) })
}

// wrong reports a value, with its text unless that may be a secret.
func (d *decoder) wrong(at place, n *node, err error) {
	d.unread = append(d.unread, at.String())
	p := Problem{Origin: n.origin, Path: at.String(), Message: err.Error()}
	hide := at.secret || n.secret
	if !hide {
		p.Text = n.text
	}
	if hide && !isOurs(err) { // a type's own error may quote the value
		p.Message = "is not valid"
	}
	d.problems.add(p)
}

func isOurs(err error) bool {
	_, kind := errors.AsType[kindError](err)
	for _, known := range []error{errDuration, errMoney, errBool, errNumber, errWhole, errRange, errSize} {
		kind = kind || errors.Is(err, known)
	}
	return kind
}

// isTable reports what is no block where one belongs.
func (d *decoder) isTable(at place, n *node) bool {
	if n.kind != kindTable {
		d.wrong(at, n, kindError{n.kind, "a block"})
	}
	return n.kind == kindTable
}

func (d *decoder) fields(at place, n *node, v reflect.Value) {
	if !d.isTable(at, n) {
		return
	}
	known := map[string]bool{}
	var names []string
	for _, f := range fieldsOf(v.Type()) {
		if f.rest {
			others := without(n, v.Type())
			for _, e := range others.table.entries {
				known[e.key] = true
			}
			d.mapped(at.with(f.secret), others, v.FieldByIndex(f.index))
			continue
		}
		known[f.name] = true
		names = append(names, f.name)
		if e := n.table.get(f.name); e != nil {
			d.decode(at.below(f.name, f.secret), e.value, v.FieldByIndex(f.index))
		}
	}
	misspelt := false
	for _, e := range n.table.entries {
		if !known[e.key] {
			misspelt = true
			d.problems.add(Problem{
				Origin: Origin{Layer: File, Position: e.pos}, Path: at.String(), Text: e.key,
				Message: "is not a known setting" + didYouMean(e.key, names),
			})
		}
	}
	d.validate(at, n, v, misspelt)
}

// without returns the blocks of n that no field of t names: those for the rest.
func without(n *node, t reflect.Type) *node {
	if n == nil || n.kind != kindTable {
		return nil
	}
	named := map[string]bool{}
	for _, f := range fieldsOf(t) {
		named[f.name] = !f.rest
	}
	others := *n
	others.table = &table{form: n.table.form}
	for _, e := range n.table.entries {
		if !named[e.key] && e.value.kind == kindTable {
			others.table.add(e)
		}
	}
	return &others
}

// validate asks the struct itself, if it has a Validate method and all its settings could
// be read, and those that it is composed of. Where a key is misspelt, its struct may lack
// what the key was meant to set.
func (d *decoder) validate(at place, n *node, v reflect.Value, misspelt bool) {
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Tag.Get("config") == inline {
			d.validate(at, n, v.Field(i), misspelt && at.String() != "")
		}
	}
	own, ok := reflect.TypeAssert[interface{ Validate() error }](v.Addr())
	if !ok || misspelt || d.lacks(at, v.Type()) {
		return
	}
	for _, one := range eachError(own.Validate()) {
		here, origin := at, n.origin
		if of, ok := errors.AsType[*settingError](one); ok {
			here, origin = here.follow(of.path, n)
			one = of.err
		}
		d.problems.add(Problem{Origin: origin, Path: here.String(), Message: strings.ReplaceAll(one.Error(), "\n", "; "), Err: one})
	}
}

// lacks tells whether a setting of a struct could not be read.
func (d *decoder) lacks(at place, t reflect.Type) bool {
	return slices.ContainsFunc(fieldsOf(t), func(f field) bool {
		below := at.String()
		if !f.rest {
			below = at.below(f.name, false).String()
		}
		return slices.ContainsFunc(d.unread, func(path string) bool {
			rest, inside := strings.CutPrefix(path, below)
			return inside && (rest == "" || below == "" || rest[0] == '.' || rest[0] == '[')
		})
	})
}

// mapped decodes a block whose keys are the user's. What the default has under other
// keys stays.
func (d *decoder) mapped(at place, n *node, v reflect.Value) {
	if !d.isTable(at, n) {
		return
	}
	merged := reflect.MakeMap(v.Type())
	for _, key := range v.MapKeys() {
		merged.SetMapIndex(key, v.MapIndex(key))
	}
	for _, e := range n.table.entries {
		key := reflect.ValueOf(e.key).Convert(v.Type().Key())
		value := reflect.New(v.Type().Elem()).Elem()
		if before := v.MapIndex(key); before.IsValid() {
			value.Set(before)
		}
		d.decode(at.below(e.key, false), e.value, value)
		merged.SetMapIndex(key, value)
	}
	v.Set(merged)
}

// list replaces a list whole. Text from outside is cut at its commas.
func (d *decoder) list(at place, n *node, v reflect.Value) {
	items := n.items
	switch n.kind {
	case kindList:
	case kindText:
		items = commaSeparated(n)
	default:
		d.wrong(at, n, kindError{n.kind, typeName(v.Type())})
		return
	}
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		d.decode(at.item(i), item, list.Index(i))
	}
	v.Set(list)
}

func commaSeparated(n *node) []*node {
	if strings.TrimSpace(n.text) == "" {
		return nil
	}
	var items []*node
	for item := range strings.SplitSeq(n.text, ",") {
		items = append(items, &node{kind: kindText, origin: n.origin, text: strings.TrimSpace(item), secret: n.secret})
	}
	return items
}
