package config

import (
	"cmp"
	"strconv"
	"strings"
)

// decimal is a number as it was written, to compare without rounding and without
// ever writing out a large exponent.
type decimal struct {
	sign   int    // -1, 0 or 1
	digits string // without zeros at either end
	scale  int64  // the value is 0.digits × 10^scale
}

// parseDecimal reads a number as JSON writes it. An exponent of more than 15 digits is
// none.
func parseDecimal(s string) (decimal, bool) {
	unsigned := strings.TrimPrefix(s, "-")
	if !isNumber(unsigned) {
		return decimal{}, false
	}
	mantissa, exponent := unsigned, ""
	if i := strings.IndexAny(unsigned, "eE"); i >= 0 {
		mantissa, exponent = unsigned[:i], strings.TrimPrefix(unsigned[i+1:], "+")
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	d := decimal{sign: 1, digits: whole + fraction, scale: int64(len(whole))}
	if exponent != "" {
		e, err := strconv.ParseInt(exponent, 10, 64)
		if err != nil || len(exponent) > 16 {
			return decimal{}, false
		}
		d.scale += e
	}
	trimmed := strings.TrimLeft(d.digits, "0")
	d.scale -= int64(len(d.digits) - len(trimmed))
	d.digits = strings.TrimRight(trimmed, "0")
	switch {
	case d.digits == "":
		return decimal{}, true
	case unsigned != s:
		d.sign = -1
	}
	return d, true
}

// compare returns -1, 0 or 1.
func (d decimal) compare(e decimal) int {
	if d.sign != e.sign {
		return cmp.Compare(d.sign, e.sign)
	}
	// Digits without zeros at the end compare like text: 0.12 < 0.123 < 0.2.
	return d.sign * cmp.Or(cmp.Compare(d.scale, e.scale), strings.Compare(d.digits, e.digits))
}
