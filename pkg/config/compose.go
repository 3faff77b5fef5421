package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
)

// Part is some of the settings of a program, such as those of one service.
type Part struct {
	Name     string // of the section they are in; empty: at the top
	Doc      string // of the section
	Settings any    // a struct that holds the defaults
}

// Composite is settings that are made of parts, each declared where it is used, for
// [Load], [Settings] and [Reference]. It is not for concurrent use while it is loaded.
type Composite struct {
	target   reflect.Value // pointer to a struct
	sections []string      // by field; the one at the top is empty
}

// Compose returns the settings that parts make, with their defaults. Parts of the same
// name share a section. It panics when a part is no struct, or when two settings have
// the same path: that is a mistake in the program.
func Compose(parts ...Part) *Composite {
	c := &Composite{}
	byName := map[string][]Part{}
	for _, p := range parts {
		if byName[p.Name] == nil {
			c.sections = append(c.sections, p.Name)
		}
		byName[p.Name] = append(byName[p.Name], p)
	}
	fields := make([]reflect.StructField, len(c.sections))
	for i, name := range c.sections {
		tag := reflect.StructTag(fmt.Sprintf("config:%q doc:%q", name, byName[name][0].Doc))
		if name == "" {
			tag = reflect.StructTag(fmt.Sprintf("config:%q", inline))
		}
		fields[i] = reflect.StructField{Name: "Section" + strconv.Itoa(i), Type: sectionOf(byName[name]), Tag: tag}
	}
	c.target = reflect.New(reflect.StructOf(fields))
	for i, name := range c.sections {
		for j, p := range byName[name] {
			c.target.Elem().Field(i).Field(j).Set(reflect.ValueOf(p.Settings))
		}
	}
	check(c.target.Type().Elem(), 0)
	return c
}

// sectionOf returns the struct that parts make together.
func sectionOf(parts []Part) reflect.Type {
	fields := make([]reflect.StructField, len(parts))
	for i, p := range parts {
		t := reflect.TypeOf(p.Settings)
		if t == nil || shapeOf(t) != shapeStruct {
			panic(fmt.Sprintf("config: the settings of %q are a %T and no struct", p.Name, p.Settings))
		}
		fields[i] = reflect.StructField{Name: "Part" + strconv.Itoa(i), Type: t, Tag: reflect.StructTag(fmt.Sprintf("config:%q", inline))}
	}
	return reflect.StructOf(fields)
}

// PartOf returns the part of a section that is a T. It panics when there is none.
func PartOf[T any](c *Composite, section string) T {
	if i := slices.Index(c.sections, section); i >= 0 {
		parts := c.target.Elem().Field(i)
		for j := range parts.NumField() {
			if part, ok := reflect.TypeAssert[T](parts.Field(j)); ok {
				return part
			}
		}
	}
	panic(fmt.Sprintf("config: the section %q has no %s", section, reflect.TypeFor[T]()))
}

// targetOf returns what is loaded into.
func targetOf(settings any) reflect.Value {
	if c, ok := settings.(*Composite); ok {
		return c.target
	}
	return reflect.ValueOf(settings)
}
