package endpoint

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/go-playground/validator/v10"
)

// inlined stands for an embedded struct in a validator's namespace: its members are
// members of the outer object.
const inlined = "\x00"

// tags checks struct tags. It is made once, because making it is slow.
var tags = sync.OnceValue(func() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "" && f.Anonymous:
			return inlined
		case name == "" || name == "-":
			return f.Name
		default:
			return name
		}
	})
	return v
})

// isTagged reports whether the validator has something to check in a member.
func isTagged(t reflect.Type, tag reflect.StructTag) bool {
	return t.Kind() == reflect.Interface || tag.Get("validate") != ""
}

// validateRequest checks the struct tags of req, if there are any, and then its own
// Validate.
func validateRequest(req any, tagged bool) error {
	var err error
	if tagged {
		err = tags().Struct(req)
	}
	if wrong, ok := errors.AsType[validator.ValidationErrors](err); ok {
		fields := make([]FieldError, len(wrong))
		for i, f := range wrong {
			_, at, _ := strings.Cut(f.Namespace(), ".")
			fields[i] = FieldError{Field: strings.ReplaceAll(at, inlined+".", ""), Message: explain(f)}
		}
		return Invalid("the request is not valid", fields...)
	}
	if err != nil {
		return fmt.Errorf("validate the request: %w", err)
	}
	if v, ok := req.(Validator); ok {
		if fields := v.Validate(); len(fields) > 0 {
			return Invalid("the request is not valid", fields...)
		}
	}
	return nil
}

// explain says what a tag asks for, without the value that failed.
func explain(f validator.FieldError) string {
	unit := ""
	switch f.Kind() {
	case reflect.String:
		unit = " characters"
	case reflect.Slice, reflect.Array, reflect.Map:
		unit = " items"
	default:
	}
	verb := "must be"
	if unit != "" {
		verb = "must have"
	}
	switch f.Tag() {
	case "required":
		return "is required"
	case "min", "gte":
		return verb + " at least " + f.Param() + unit
	case "max", "lte":
		return verb + " at most " + f.Param() + unit
	case "gt":
		return verb + " more than " + f.Param() + unit
	case "lt":
		return verb + " less than " + f.Param() + unit
	case "len":
		return verb + " exactly " + f.Param() + unit
	case "oneof":
		return "must be one of " + strings.Join(strings.Fields(f.Param()), ", ")
	case "email":
		return "must be an e-mail address"
	case "uuid", "uuid4", "uuid_rfc4122":
		return "must be a UUID"
	case "unique":
		return "must not repeat an item"
	default:
		return "is not valid (" + f.Tag() + ")"
	}
}
