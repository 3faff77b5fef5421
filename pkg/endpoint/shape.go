package endpoint

import "reflect"

// contains reports whether is holds for t or for something in it, at any depth; of
// members it is told the tag.
func contains(t reflect.Type, is func(reflect.Type, reflect.StructTag) bool) bool {
	seen := make(map[reflect.Type]bool)
	var look func(reflect.Type, reflect.StructTag) bool
	look = func(t reflect.Type, tag reflect.StructTag) bool {
		if is(t, tag) {
			return true
		}
		if seen[t] {
			return false
		}
		seen[t] = true
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			return look(t.Elem(), "")
		case reflect.Map:
			return look(t.Key(), "") || look(t.Elem(), "")
		case reflect.Struct:
			for f := range t.Fields() {
				if look(f.Type, f.Tag) {
					return true
				}
			}
		default:
		}
		return false
	}
	return look(t, "")
}
