package orderapi

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/bojanz/currency"

	"sluice/pkg/endpoint"
)

// Limits that keep every total exact: decimal arithmetic has 39 digits.
const (
	maxDigits   = 18
	maxFraction = 6
)

// Total returns the exact sum of price × quantity, or what is wrong with items: at
// least one, quantities from 1, prices that are not negative, one currency.
func Total(items []Item) (currency.Amount, []endpoint.FieldError) {
	var (
		total currency.Amount
		wrong []endpoint.FieldError
	)
	refuse := func(i int, member, format string, args ...any) {
		wrong = append(wrong, endpoint.FieldError{Field: fmt.Sprintf("items[%d].%s", i, member), Message: fmt.Sprintf(format, args...)})
	}
	if len(items) == 0 {
		return total, []endpoint.FieldError{{Field: "items", Message: "needs at least one item"}}
	}
	for i, item := range items {
		if item.ProductID == "" {
			refuse(i, "product_id", "is required")
		}
		if item.Quantity < 1 {
			refuse(i, "quantity", "must be 1 or more")
		}
		switch whole, fraction, _ := strings.Cut(item.Price.Number(), "."); {
		case item.Price.CurrencyCode() == "":
			refuse(i, "price", "is required")
			continue
		case item.Price.IsNegative():
			refuse(i, "price", "must not be negative")
			continue
		case len(whole)+len(fraction) > maxDigits || len(fraction) > maxFraction || strings.ContainsAny(item.Price.Number(), "eE"):
			refuse(i, "price.number", "has more than %d digits, or more than %d after the point", maxDigits, maxFraction)
			continue
		case item.Price.CurrencyCode() != items[0].Price.CurrencyCode():
			refuse(i, "price.currency", "differs from the first item's")
			continue
		}
		line, err := item.Price.Mul(strconv.FormatInt(item.Quantity, 10))
		if err == nil && total.CurrencyCode() == "" {
			total = line
			continue
		}
		if err == nil {
			total, err = total.Add(line)
		}
		if err != nil {
			refuse(i, "price", "cannot be added up")
		}
	}
	return total, wrong
}
