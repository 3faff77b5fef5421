package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// Sources says where values come from besides the defaults. The zero value has
// defaults only.
type Sources struct {
	Path    string      // of the configuration file; empty: none. A symbolic link must stay in its folder
	Secrets string      // folder that @file.read may read in; default: the folder of Path
	Environ []string    // NAME=value as of os.Environ, for settings and for @env
	Prefix  string      // of the variables that are settings; default SLUICE
	Flags   []FlagValue // the strongest; of one setting the last
	// Strict makes a problem of a variable that has the prefix and the name of a section,
	// and sets nothing. Those that Kubernetes adds for services are left alone.
	Strict bool
}

// Loaded is what a configuration came to. It does not change and is safe for
// concurrent use.
type Loaded struct {
	settings []Setting
	unused   []string
}

// Settings returns every setting with its value and origin, those of a section before
// those of its subsections.
func (l *Loaded) Settings() []Setting { return append([]Setting(nil), l.settings...) }

// Unused returns the names of environment variables that have the prefix and set
// nothing. It is worth a warning and no error: others put such names there, too.
func (l *Loaded) Unused() []string { return append([]string(nil), l.unused...) }

// Load reads the configuration into a struct of settings, which holds the defaults:
// the file wins over them, the environment over the file, flags over all. The error
// is an [*InvalidError] with everything that is wrong; then into is left as it was.
//
// A block that is a struct with a method Validate() error is asked by it, once all its
// settings could be read; a block of which nothing is set is not asked, but the struct as
// a whole is. What it says is wrong is shown where the block is, or where the setting is
// that [At] names.
//
// Load panics when into is neither a pointer to a struct nor a [*Composite], or when a
// field cannot be a setting: that is a mistake in the program.
func Load(into any, from Sources) (*Loaded, error) {
	target := targetOf(into)
	if target.Kind() != reflect.Pointer || shapeOf(target.Type().Elem()) != shapeStruct {
		panic(fmt.Sprintf("config: Load needs a pointer to a struct and got %T", into))
	}
	check(target.Type().Elem(), 0)
	ps := &problems{}
	environ := from.environment()
	root := from.tree(ps, environ)
	o := overlay{problems: ps, prefix: from.prefix(), environ: environ, used: map[string]string{}}
	settings := reflect.New(target.Type().Elem()).Elem()
	settings.Set(target.Elem())
	variables := variablesOf(variable{}, settings, root)
	o.environment(root, variables)
	o.flags(root, variables, from.Flags)
	if from.Strict {
		o.misspelt(variables, settings.Type())
	}
	d := decoder{problems: ps, origins: map[string]Origin{}, masked: map[string]bool{}}
	d.decode(place{}, root, settings)
	ps.reveal(func(keys []string) bool { return isOpen(settings.Type(), keys) })
	if err := ps.err(); err != nil {
		return nil, err
	}
	target.Elem().Set(settings)
	l := lister{origin: func(path string) (Origin, bool) { return d.origins[path], d.masked[path] }}
	l.walk(Setting{}, settings)
	return &Loaded{settings: l.found, unused: o.unused()}, nil
}

func (s Sources) prefix() string {
	if s.Prefix == "" {
		return "SLUICE"
	}
	return s.Prefix
}

func (s Sources) environment() map[string]string {
	environ := map[string]string{}
	for _, pair := range s.Environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			environ[name] = value
		}
	}
	return environ
}

// tree reads the file with its imports and resolves it. It is empty without a file,
// and after a problem it holds what could be read.
func (s Sources) tree(ps *problems, environ map[string]string) *node {
	empty := newTable(Position{}, section)
	empty.origin = Origin{}
	if s.Path == "" {
		return empty
	}
	main, err := openFolder(filepath.Dir(s.Path))
	if err != nil {
		ps.add(Problem{Origin: Origin{Layer: File, Position: Position{File: s.Path}}, Message: reason(err).Error(), Err: err})
		return empty
	}
	defer main.root.Close()
	im := importer{folder: main, problems: ps}
	doc := im.load(filepath.Base(s.Path), importing{pos: Position{File: s.Path}})
	if doc == nil {
		return empty
	}
	from := secrets{folder: main}
	if s.Secrets != "" {
		other, err := openFolder(s.Secrets)
		if err != nil {
			ps.add(Problem{Origin: Origin{Layer: File, Position: Position{File: s.Secrets}}, Message: reason(err).Error(), Err: err})
			return doc.root
		}
		defer other.root.Close()
		from.folder = other
	}
	r := resolver{
		root: doc.root, vars: doc.vars, problems: ps, read: from.read,
		lookup: func(name string) (string, bool) { value, ok := environ[name]; return value, ok },
	}
	r.all()
	if r.root.kind != kindTable { // it grew too large
		return empty
	}
	return r.root
}

// Find returns the path of the configuration file: what the flag --config says, else
// what SLUICE_CONFIG says, else ./sluice.tsk if there is one, else nothing.
func Find(flag string, getenv func(string) string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if path := getenv("SLUICE_CONFIG"); path != "" {
		return path, nil
	}
	const here = "sluice.tsk"
	_, err := os.Stat(here)
	switch {
	case err == nil:
		return here, nil
	case errors.Is(err, os.ErrNotExist):
		return "", nil
	default:
		return "", fmt.Errorf("look for %s: %w", here, err)
	}
}
