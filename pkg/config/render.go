package config

import (
	"encoding"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bojanz/currency"
)

// render writes a value as it stands in a file. What cannot be written, such as money
// without a currency, is not ok.
func render(v reflect.Value) (s string, ok bool) {
	switch value := v.Interface().(type) {
	case time.Duration:
		return showDuration(value), true
	case Size:
		return value.String(), true
	case currency.Amount:
		return quote(value.String()), value.CurrencyCode() != ""
	case Operand:
		return value.String(), value.kind != kindBroken
	case encoding.TextMarshaler:
		b, err := value.MarshalText()
		return quote(string(b)), err == nil
	}
	if isSpecial(v.Type()) && v.Kind() != reflect.String {
		return "", false // it can be read from text, but says not how it is written
	}
	switch v.Kind() {
	case reflect.String:
		return quote(v.String()), true
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), true
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'f', -1, v.Type().Bits()), true
	case reflect.Slice:
		return renderList(v)
	case reflect.Map:
		return renderMap(v)
	case reflect.Struct:
		return renderStruct(v), true
	default:
		if v.CanInt() {
			return strconv.FormatInt(v.Int(), 10), true
		}
		return strconv.FormatUint(v.Uint(), 10), true
	}
}

// showDuration drops the zeros that [time.Duration.String] ends in, and stays ASCII.
func showDuration(d time.Duration) string {
	s := strings.Replace(d.String(), "µ", "u", 1)
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func renderList(v reflect.Value) (string, bool) {
	items := make([]string, v.Len())
	for i := range items {
		item, ok := render(v.Index(i))
		if !ok {
			return "", false
		}
		items[i] = item
	}
	return "[" + strings.Join(items, ", ") + "]", true
}

func renderMap(v reflect.Value) (string, bool) {
	var pairs []string
	for _, key := range sortedKeys(v) {
		item, ok := render(v.MapIndex(key))
		if !ok {
			return "", false
		}
		pairs = append(pairs, quoteKey(key.String())+": "+item)
	}
	return braces(pairs), true
}

// renderStruct leaves out what is zero, as reading it again starts from there.
func renderStruct(v reflect.Value) string {
	var pairs []string
	for _, f := range fieldsOf(v.Type()) {
		if value := v.FieldByIndex(f.index); !value.IsZero() {
			if item, ok := render(value); ok {
				pairs = append(pairs, quoteKey(f.name)+": "+item)
			}
		}
	}
	return braces(pairs)
}

func braces(pairs []string) string {
	if len(pairs) == 0 {
		return "{}"
	}
	return "{ " + strings.Join(pairs, ", ") + " }"
}

func sortedKeys(v reflect.Value) []reflect.Value {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return keys
}
