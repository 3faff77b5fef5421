package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/bojanz/currency"
)

var (
	errDuration = errors.New("is not a duration such as 250ms, 5s or 2m")
	errMoney    = errors.New(`is not money such as "19.99 EUR"`)
	errBool     = errors.New("is neither true nor false")
	errNumber   = errors.New("is not a number")
	errWhole    = errors.New("is not a whole number")
	errRange    = errors.New("is out of range")
)

// kindError is a value of one kind where another belongs.
type kindError struct {
	kind kind
	want string
}

func (e kindError) Error() string { return "is " + e.kind.describe() + "; wanted: " + e.want }

// scalar puts the value of n into v.
func scalar(n *node, v reflect.Value) error {
	if target, ok := reflect.TypeAssert[*Operand](v.Addr()); ok {
		var err error
		*target, err = operandOf(n)
		return err
	}
	want := typeName(v.Type())
	if !fits(n.kind, v.Type()) {
		return kindError{n.kind, want}
	}
	switch target := v.Addr().Interface().(type) {
	case *time.Duration:
		d, err := time.ParseDuration(n.text)
		if err != nil {
			return errDuration
		}
		*target = d
		return nil
	case *Size:
		s, err := ParseSize(n.text)
		*target = s
		return err
	case *currency.Amount:
		return parseMoney(n.text, target)
	case encoding.TextUnmarshaler:
		if err := target.UnmarshalText([]byte(n.text)); err != nil {
			return fmt.Errorf("is not valid: %w", err)
		}
		return nil
	}
	return basic(n.text, v)
}

// fits tells whether a value of a kind may be read as a type. Text from outside fits
// everything: whether it can be read decides.
func fits(k kind, t reflect.Type) bool {
	if k == kindText {
		return true
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return k == kindQuantity || k == kindString || k == kindInt
	case reflect.TypeFor[Size]():
		return k == kindQuantity || k == kindString || k == kindInt
	case reflect.TypeFor[currency.Amount]():
		return k == kindString
	}
	switch {
	case isSpecial(t) || t.Kind() == reflect.String:
		return k == kindString
	case t.Kind() == reflect.Bool:
		return k == kindBool
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		return k == kindInt || k == kindDecimal
	default:
		return k == kindInt
	}
}

func parseMoney(s string, into *currency.Amount) error {
	number, code, ok := strings.Cut(s, " ")
	if !ok || len(number) > 64 || !isNumber(strings.TrimPrefix(number, "-")) || strings.ContainsAny(number, "eE") {
		return errMoney
	}
	amount, err := currency.NewAmount(number, code)
	if err != nil {
		return errMoney
	}
	*into = amount
	return nil
}

// basic reads the types of the language itself.
func basic(s string, v reflect.Value) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		if s != "true" && s != "false" {
			return errBool
		}
		v.SetBool(s == "true")
	case reflect.Float32, reflect.Float64:
		if !isNumber(strings.TrimPrefix(s, "-")) {
			return errNumber
		}
		f, err := strconv.ParseFloat(s, v.Type().Bits())
		if err != nil || math.IsInf(f, 0) {
			return errRange
		}
		v.SetFloat(f)
	default:
		return whole(s, v)
	}
	return nil
}

func whole(s string, v reflect.Value) error {
	digits := strings.TrimPrefix(s, "-")
	if !isNumber(digits) || strings.ContainsAny(digits, ".eE") {
		return errWhole
	}
	if v.CanInt() {
		i, err := strconv.ParseInt(s, 10, v.Type().Bits())
		if err != nil {
			return errRange
		}
		v.SetInt(i)
		return nil
	}
	u, err := strconv.ParseUint(s, 10, v.Type().Bits())
	if err != nil {
		return errRange
	}
	v.SetUint(u)
	return nil
}
