package endpoint

import (
	"bytes"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/bojanz/currency"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// decode reads one JSON object strictly: no unknown or repeated members, no other
// types, nothing after it. No body at all is an empty object, so that the missing
// members are what the caller hears about.
func decode(body []byte, into any, options json.Options) error {
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) == 0 {
		body = []byte("{}")
	}
	if body[0] != '{' {
		return Invalid("the request is not a JSON object")
	}
	err := json.Unmarshal(body, into, options)
	if err == nil {
		return nil
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return Invalid("a member is there twice", FieldError{fieldPath(syntax.JSONPointer), "is there twice"})
		}
		if field := fieldPath(syntax.JSONPointer); field != "" {
			return Invalid("the request is not valid JSON", FieldError{field, "is not valid JSON"})
		}
		return Invalid("the request is not valid JSON")
	}
	semantic, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return Invalid("the request can't be read")
	}
	field := fieldPath(semantic.JSONPointer)
	if errors.Is(err, json.ErrUnknownName) {
		return Invalid("the request has an unknown member", FieldError{field, "is not a member of this request"})
	}
	return Invalid("the request has a member of the wrong type", FieldError{field, expected(semantic)})
}

// decoding returns the options for requests of type t.
func decoding(t reflect.Type) json.Options {
	options := []json.Options{json.RejectUnknownMembers(true)}
	if contains(t, func(f reflect.Type, _ reflect.StructTag) bool { return f == reflect.TypeFor[currency.Amount]() }) {
		options = append(options, json.WithUnmarshalers(json.UnmarshalFromFunc(decodeAmount)))
	}
	return json.JoinOptions(options...)
}

// expected says in the words of JSON what would have fitted.
func expected(e *json.SemanticError) string {
	t := e.GoType
	if t == nil {
		return "has the wrong type"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[time.Time]():
		return "must be a time like 2006-01-02T15:04:05Z"
	case reflect.TypeFor[currency.Amount]():
		return `must be an amount like {"number":"19.99","currency":"EUR"}`
	}
	switch t.Kind() {
	case reflect.String:
		return "must be a string"
	case reflect.Bool:
		return "must be true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "must be an integer in range"
	case reflect.Float32, reflect.Float64:
		return "must be a number in range"
	case reflect.Slice, reflect.Array:
		return "must be an array"
	case reflect.Struct, reflect.Map:
		return "must be an object"
	default:
		return "has the wrong type"
	}
}

// amountPattern is what a sum of money may look like: plain digits, so that neither
// NaN nor an exponent of a million gets in.
var amountPattern = regexp.MustCompile(`^-?[0-9]{1,24}(\.[0-9]{1,12})?$`)

var errAmount = errors.New("not an amount")

// decodeAmount reads money as strictly as the rest; the library's own decoder takes
// JSON numbers, unknown members and NaN.
func decodeAmount(d *jsontext.Decoder, a *currency.Amount) error {
	var raw struct {
		Number   string `json:"number"`
		Currency string `json:"currency"`
	}
	if d.PeekKind() != '{' {
		if err := d.SkipValue(); err != nil {
			return err
		}
		return errAmount
	}
	if err := json.UnmarshalDecode(d, &raw); err != nil {
		return err
	}
	if !amountPattern.MatchString(raw.Number) {
		return errAmount
	}
	amount, err := currency.NewAmount(raw.Number, raw.Currency)
	if err != nil {
		return errAmount
	}
	*a = amount
	return nil
}

// fieldPath turns the JSON pointer /items/0/quantity into items[0].quantity.
func fieldPath(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		if isIndex(token) {
			b.WriteString("[" + token + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(clip(token))
	}
	return b.String()
}

func isIndex(token string) bool {
	return token != "" && len(token) < 10 && strings.Trim(token, "0123456789") == ""
}

// clip keeps a name that the caller chose from filling the reply.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
