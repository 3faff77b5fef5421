package endpoint

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/pkg/event"
)

// requestSchema returns the JSON Schema of a request, with what the tags for the validator
// ask for as far as JSON Schema has words for it: lengths, ranges, enumerations, formats.
func requestSchema[Req any]() jsontext.Value {
	var out bytes.Buffer
	e := jsontext.NewEncoder(&out)
	if err := annotate(e, event.SchemaOf[Req](), reflect.TypeFor[Req](), nil); err != nil {
		panic(fmt.Sprintf("JSON schema of %s: %v", reflect.TypeFor[Req](), err))
	}
	return bytes.TrimSpace(out.Bytes())
}

// annotate writes the schema of a value of type t to which rules apply, each like "max=3".
func annotate(e *jsontext.Encoder, schema jsontext.Value, t reflect.Type, rules []string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	own, inner := splitRules(rules)
	added := keywords(t.Kind(), own)
	return eachMember(e, schema, func(name string, value jsontext.Value) error {
		if slices.ContainsFunc(added, func(k keywordOf) bool { return k.name == name }) {
			return nil
		}
		if err := e.WriteToken(jsontext.String(name)); err != nil {
			return err
		}
		switch {
		case name == "properties" && t.Kind() == reflect.Struct:
			return annotateMembers(e, value, membersOf(t))
		case name == "items" && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array),
			name == "additionalProperties" && t.Kind() == reflect.Map:
			return annotate(e, value, t.Elem(), inner)
		default:
			return e.WriteValue(value)
		}
	}, func() error {
		for _, k := range added {
			if err := e.WriteToken(jsontext.String(k.name)); err != nil {
				return err
			}
			if err := json.MarshalEncode(e, k.value); err != nil {
				return err
			}
		}
		return nil
	})
}

func annotateMembers(e *jsontext.Encoder, properties jsontext.Value, members map[string]reflect.StructField) error {
	return eachMember(e, properties, func(name string, value jsontext.Value) error {
		if err := e.WriteToken(jsontext.String(name)); err != nil {
			return err
		}
		f, ok := members[name]
		if !ok {
			return e.WriteValue(value)
		}
		return annotate(e, value, f.Type, strings.Split(f.Tag.Get("validate"), ","))
	}, func() error { return nil })
}

// eachMember copies an object, with write for each member and more after the last. What
// is no object is copied as it is.
func eachMember(e *jsontext.Encoder, object jsontext.Value, write func(name string, value jsontext.Value) error, more func() error) error {
	if object.Kind() != '{' {
		return e.WriteValue(object)
	}
	d := jsontext.NewDecoder(bytes.NewReader(object))
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	if err := e.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		if err := write(name, value); err != nil {
			return err
		}
	}
	if err := more(); err != nil {
		return err
	}
	return e.WriteToken(jsontext.EndObject)
}

// membersOf returns the fields of a struct by their names in JSON, with those of embedded
// structs.
func membersOf(t reflect.Type) map[string]reflect.StructField {
	members := make(map[string]reflect.StructField)
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && name != "" && name != "-" {
			members[name] = f
		}
	}
	return members
}

// splitRules returns the rules for a value, and those behind "dive" for what is in it.
func splitRules(rules []string) (own, inner []string) {
	for i, rule := range rules {
		if rule == "dive" {
			return rules[:i], rules[i+1:]
		}
	}
	return rules, nil
}

type keywordOf struct {
	name  string
	value any
}

// keywords returns what JSON Schema calls the rules for values of a kind, as far as it
// does. Of two about the same the later counts.
func keywords(kind reflect.Kind, rules []string) (all []keywordOf) {
	for _, rule := range rules {
		if n, ok := strings.CutPrefix(rule, "len="); ok {
			all = append(all, keywords(kind, []string{"min=" + n, "max=" + n})...)
			continue
		}
		name, value := keyword(kind, rule)
		if name == "" {
			continue
		}
		all = slices.DeleteFunc(all, func(k keywordOf) bool { return k.name == name })
		all = append(all, keywordOf{name, value})
	}
	return all
}

// keyword returns what JSON Schema calls one rule, or "".
func keyword(kind reflect.Kind, rule string) (name string, value any) {
	rule, param, _ := strings.Cut(rule, "=")
	switch kind {
	case reflect.String:
		return stringKeyword(rule, param)
	case reflect.Slice, reflect.Array:
		if rule == "unique" {
			return "uniqueItems", true
		}
		return sized("minItems", "maxItems", rule, param)
	case reflect.Map:
		return sized("minProperties", "maxProperties", rule, param)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Float32, reflect.Float64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return numberKeyword(rule, param)
	default:
		return "", nil
	}
}

func stringKeyword(rule, param string) (name string, value any) {
	switch rule {
	case "required":
		return "minLength", 1
	case "oneof":
		return "enum", strings.Fields(param)
	case "email":
		return "format", "email"
	case "uuid", "uuid4", "uuid_rfc4122":
		return "format", "uuid"
	case "url", "uri", "http_url":
		return "format", "uri"
	case "hostname", "hostname_rfc1123":
		return "format", "hostname"
	case "ipv4", "ipv6":
		return "format", rule
	default:
		return sized("minLength", "maxLength", rule, param)
	}
}

// sized returns the keyword for a rule about a length.
func sized(least, most, rule, param string) (name string, value any) {
	n, err := strconv.Atoi(param)
	if err != nil {
		return "", nil
	}
	switch rule {
	case "min", "gte":
		return least, n
	case "gt":
		return least, n + 1
	case "max", "lte":
		return most, n
	case "lt":
		return most, n - 1
	default:
		return "", nil
	}
}

func numberKeyword(rule, param string) (name string, value any) {
	if rule == "oneof" {
		numbers := make([]jsontext.Value, 0)
		for s := range strings.FieldsSeq(param) {
			numbers = append(numbers, jsontext.Value(s))
		}
		return "enum", numbers
	}
	names := map[string]string{
		"min": "minimum", "gte": "minimum", "max": "maximum", "lte": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum",
	}
	if number := jsontext.Value(param); names[rule] != "" && number.IsValid() && number.Kind() == '0' {
		return names[rule], number
	}
	return "", nil
}
