package config

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Size is a number of bytes. It is written as 512, 10kB, 1.5GB (powers of 1000) or
// 64KiB, 64MiB (powers of 1024), up to TB and TiB.
type Size int64

var errSize = errors.New("is not a size such as 512, 10MB or 64MiB")

// ParseSize reads a size. It is not negative, and a fraction is a whole number of
// bytes in the end.
func ParseSize(s string) (Size, error) {
	digits := strings.TrimLeft(s, "0123456789.")
	number, unit := s[:len(s)-len(digits)], digits
	factor, ok := unitOf(unit)
	if !ok || !isNumber(number) || len(number) > 32 {
		return 0, errSize
	}
	bytes, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, errSize
	}
	bytes.Mul(bytes, new(big.Rat).SetInt64(factor))
	if !bytes.IsInt() || !bytes.Num().IsInt64() {
		return 0, errSize
	}
	return Size(bytes.Num().Int64()), nil
}

func unitOf(unit string) (factor int64, ok bool) {
	switch unit {
	case "", "B":
		return 1, true
	case "kB", "KB":
		return 1e3, true
	case "MB":
		return 1e6, true
	case "GB":
		return 1e9, true
	case "TB":
		return 1e12, true
	case "KiB":
		return 1 << 10, true
	case "MiB":
		return 1 << 20, true
	case "GiB":
		return 1 << 30, true
	case "TiB":
		return 1 << 40, true
	default:
		return 0, false
	}
}

// String returns the size in the largest unit of 1024 that divides it, so that
// [ParseSize] reads the same.
func (s Size) String() string {
	units := []string{"", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; i < len(units)-1 && s != 0 && s%1024 == 0; i++ {
		s /= 1024
	}
	return strconv.FormatInt(int64(s), 10) + units[i]
}

// UnmarshalText is [ParseSize].
func (s *Size) UnmarshalText(b []byte) error {
	parsed, err := ParseSize(string(b))
	if err != nil {
		return fmt.Errorf("%q %w", b, err)
	}
	*s = parsed
	return nil
}
