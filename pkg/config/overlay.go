package config

import (
	"fmt"
	"reflect"
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

// environment sets every setting whose variable is set.
func (o *overlay) environment(root *node, paths [][]string) {
	for _, path := range paths {
		name := Variable(o.prefix, path...)
		value, set := o.environ[name]
		if !set {
			continue
		}
		origin := Origin{Layer: Environment, Name: name}
		if other, taken := o.used[name]; taken {
			o.problems.add(Problem{Origin: origin, Message: fmt.Sprintf("could be %s or %s", other, joinPath(path))})
			continue
		}
		o.used[name] = joinPath(path)
		o.put(root, path, value, origin)
	}
}

func (o *overlay) flags(root *node, paths [][]string, flags []FlagValue) {
	for _, f := range flags {
		origin := Origin{Layer: Flag, Name: f.Name}
		i := slices.IndexFunc(paths, func(path []string) bool { return joinPath(path) == f.Path })
		if i < 0 {
			o.problems.add(Problem{Origin: origin, Text: f.Path, Message: "is not a known setting" + didYouMean(f.Path, joined(paths))})
			continue
		}
		o.put(root, paths[i], f.Value, origin)
	}
}

func joined(paths [][]string) []string {
	names := make([]string, len(paths))
	for i, path := range paths {
		names[i] = joinPath(path)
	}
	return names
}

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

// pathsOf returns the paths of all settings of v, with the keys of maps that v or n
// has. It leaves out what only a file can set: lists of blocks.
func pathsOf(at []string, v reflect.Value, n *node) [][]string {
	var paths [][]string
	below := func(key string, v reflect.Value) {
		var child *node
		if n != nil && n.kind == kindTable {
			if e := n.table.get(key); e != nil {
				child = e.value
			}
		}
		paths = append(paths, pathsOf(append(slices.Clip(at), key), v, child)...)
	}
	switch shapeOf(v.Type()) {
	case shapeStruct:
		for _, f := range fieldsOf(v.Type()) {
			if f.rest {
				paths = append(paths, pathsOf(at, v.FieldByIndex(f.index), without(n, v.Type()))...)
				continue
			}
			below(f.name, v.FieldByIndex(f.index))
		}
	case shapeMap:
		for _, key := range sortedKeys(v) {
			below(key.String(), v.MapIndex(key))
		}
		if n == nil || n.kind != kindTable {
			return paths
		}
		for _, e := range n.table.entries {
			if !v.MapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key())).IsValid() {
				below(e.key, reflect.New(v.Type().Elem()).Elem())
			}
		}
	case shapeList:
		if shapeOf(v.Type().Elem()) == shapeScalar {
			return [][]string{at}
		}
	default:
		return [][]string{at}
	}
	return paths
}
