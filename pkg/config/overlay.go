package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// FlagValue is the value of a setting that the command line has.
type FlagValue struct {
	Name  string // of the flag, without dashes, for messages
	Path  string // of the setting, such as http.address
	Value string // typed by the setting; lists have commas
}

// overlay lays the environment and flags over a tree.
type overlay struct {
	problems *problems
	prefix   string
	environ  map[string]string
	used     map[string]string // name of a variable → path of the setting it sets
}

// variable is a setting that the environment and flags can set.
type variable struct {
	path  []string
	alias string // a second name of the variable, without the prefix
	blank bool   // may be empty
}

// environment sets every setting whose variable is set. The second name of one counts
// where the first is not set, and is not empty.
func (o *overlay) environment(root *node, settings []variable) {
	for _, v := range settings {
		name := Variable(o.prefix, v.path...)
		value, set := o.environ[name]
		if alias := o.environ[v.alias]; !set && v.alias != "" && alias != "" {
			name, value, set = v.alias, alias, true
		}
		if !set {
			continue
		}
		origin := Origin{Layer: Environment, Name: name}
		if other, taken := o.used[name]; taken {
			o.problems.add(Problem{Origin: origin, Message: fmt.Sprintf("could be %s or %s", other, joinPath(v.path))})
			continue
		}
		o.used[name] = joinPath(v.path)
		if value == "" && !v.blank {
			continue
		}
		o.put(root, v.path, value, origin)
	}
}

func (o *overlay) flags(root *node, settings []variable, flags []FlagValue) {
	for _, f := range flags {
		origin := Origin{Layer: Flag, Name: f.Name}
		i := slices.IndexFunc(settings, func(v variable) bool { return joinPath(v.path) == f.Path })
		if i < 0 {
			o.problems.add(Problem{Origin: origin, Text: f.Path, Message: "is not a known setting" + didYouMean(f.Path, o.names(settings, joinPath))})
			continue
		}
		o.put(root, settings[i].path, f.Value, origin)
	}
}

func (o *overlay) names(settings []variable, show func(path []string) string) []string {
	names := make([]string, len(settings))
	for i, v := range settings {
		names[i] = show(v.path)
	}
	return names
}

// misspelt reports the variables that begin like a section of t and set nothing.
func (o *overlay) misspelt(settings []variable, t reflect.Type) {
	shown := func(path []string) string { return Variable(o.prefix, path...) }
	for _, name := range o.unused() {
		ours := func(f field) bool { return isSection(f.typ) && strings.HasPrefix(name, Variable(o.prefix, f.name, "")) }
		if slices.ContainsFunc(fieldsOf(t), ours) && !linked.MatchString(name) {
			o.problems.add(Problem{
				Origin:  Origin{Layer: Environment, Name: name},
				Message: "is not a known setting" + didYouMean(name, o.names(settings, shown)),
			})
		}
	}
}

// linked are names that Kubernetes puts into the environment for a service whose name
// begins with the prefix.
var linked = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

func (o *overlay) put(root *node, path []string, value string, origin Origin) {
	if err := checkText(value); err != nil {
		o.problems.add(Problem{Origin: origin, Path: joinPath(path), Message: err.Error(), Err: err})
		return
	}
	// Where it cannot be set, the file has something else than a block on the way,
	// which decoding reports.
	root.set(path, &node{kind: kindText, origin: origin, text: value})
}

// unused returns the names of variables with the prefix that set nothing. The one that
// names the file is none of them.
func (o *overlay) unused() []string {
	var names []string
	for name := range o.environ {
		if _, used := o.used[name]; !used && strings.HasPrefix(name, o.prefix+"_") && name != o.prefix+"_CONFIG" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Variable returns the name of the environment variable for a setting: that of
// policies.user-2.timeout is SLUICE_POLICIES_USER_2_TIMEOUT with the prefix SLUICE.
func Variable(prefix string, path ...string) string {
	name := prefix + "_" + strings.Join(path, "_")
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		default:
			return '_'
		}
	}, name)
}

// variablesOf returns what can be set below v, with the keys of maps that v or n has.
// It leaves out what only a file can set: lists of blocks.
func variablesOf(at variable, v reflect.Value, n *node) []variable {
	var found []variable
	below := func(key, alias string, v reflect.Value) {
		var child *node
		if n != nil && n.kind == kindTable {
			if e := n.table.get(key); e != nil {
				child = e.value
			}
		}
		found = append(found, variablesOf(variable{path: append(slices.Clip(at.path), key), alias: alias}, v, child)...)
	}
	switch shapeOf(v.Type()) {
	case shapeStruct:
		for _, f := range fieldsOf(v.Type()) {
			if f.rest {
				found = append(found, variablesOf(at, v.FieldByIndex(f.index), without(n, v.Type()))...)
				continue
			}
			below(f.name, f.alias, v.FieldByIndex(f.index))
		}
	case shapeMap:
		for _, key := range sortedKeys(v) {
			below(key.String(), "", v.MapIndex(key))
		}
		if n == nil || n.kind != kindTable {
			return found
		}
		for _, e := range n.table.entries {
			if !v.MapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key())).IsValid() {
				below(e.key, "", reflect.New(v.Type().Elem()).Elem())
			}
		}
	case shapeList:
		at.blank = true
		if shapeOf(v.Type().Elem()) == shapeScalar {
			return []variable{at}
		}
	default:
		at.blank = v.Kind() == reflect.String
		return []variable{at}
	}
	return found
}
