package orderapi

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bojanz/currency"

	"sluice/pkg/endpoint"
)

// Limits that keep every total exact: decimal arithmetic has 39 digits.
const (
	maxDigits   = 18
	maxFraction = 6
	maxQuantity = 1_000_000
)

// Limits of size, as in the tags of [Item] and [CreateRequest], which only requests
// are checked by: events from outside come without them.
const (
	maxItems   = 1000
	maxProduct = 128
)

// Total returns the exact sum of price × quantity, or what is wrong with items: one
// to a thousand, quantities from 1 to a million, prices in plain digits that are not
// negative, one currency.
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
	if len(items) > maxItems {
		return total, []endpoint.FieldError{{Field: "items", Message: fmt.Sprintf("has more than %d items", maxItems)}}
	}
	for i, item := range items {
		switch {
		case item.ProductID == "":
			refuse(i, "product_id", "is required")
		case utf8.RuneCountInString(item.ProductID) > maxProduct:
			refuse(i, "product_id", "has more than %d characters", maxProduct)
		}
		switch {
		case item.Quantity < 1:
			refuse(i, "quantity", "must be 1 or more")
		case item.Quantity > maxQuantity:
			refuse(i, "quantity", "must be %d or less", maxQuantity)
		}
		if member, message := checkPrice(item.Price, items[0].Price.CurrencyCode()); message != "" {
			refuse(i, member, "%s", message)
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

// checkPrice returns what is wrong with a price, and with which member of its item;
// no message when it is fine.
func checkPrice(price currency.Amount, currencyCode string) (member, message string) {
	switch whole, fraction, _ := strings.Cut(price.Number(), "."); {
	case price.CurrencyCode() == "":
		return "price", "is required"
	case price.IsNegative():
		return "price", "must not be negative"
	case strings.Trim(whole+fraction, "0123456789") != "": // an exponent, NaN, Infinity
		return "price.number", "is not written in plain digits"
	case len(whole)+len(fraction) > maxDigits || len(fraction) > maxFraction:
		return "price.number", fmt.Sprintf("has more than %d digits, or more than %d after the point", maxDigits, maxFraction)
	case price.CurrencyCode() != currencyCode:
		return "price.currency", "differs from the first item's"
	default:
		return "", ""
	}
}
