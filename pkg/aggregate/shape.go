package aggregate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
)

// shapeOf returns a short hash of what JSON makes of type S: its members, their tags
// and types, all the way down, and the version of the fold. A state of another shape
// is not read.
func shapeOf[S any](version int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d ", version)
	writeShape(&b, reflect.TypeFor[S](), make(map[reflect.Type]bool))
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:8])
}

func writeShape(b *strings.Builder, t reflect.Type, seen map[reflect.Type]bool) {
	fmt.Fprintf(b, "%s:%s", t.PkgPath(), t.String())
	if seen[t] {
		return
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Struct:
		b.WriteByte('{')
		for field := range t.Fields() {
			fmt.Fprintf(b, "%s %q ", field.Name, field.Tag)
			writeShape(b, field.Type, seen)
			b.WriteByte(';')
		}
		b.WriteByte('}')
	case reflect.Map:
		writeShape(b, t.Key(), seen)
		writeShape(b, t.Elem(), seen)
	case reflect.Slice, reflect.Array, reflect.Pointer:
		writeShape(b, t.Elem(), seen)
	default:
	}
}
