package orderapi_test

import (
	"strings"
	"testing"
	"time"

	"sluice/services/order/orderapi"
)

func TestSearchRequestNamesTheFields(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name   string
		req    orderapi.SearchRequest
		fields string
	}{
		{"nothing", orderapi.SearchRequest{}, ""},
		{"everything", orderapi.SearchRequest{
			Status: orderapi.StatusPending, UserID: "u-1", From: noon, To: noon,
			MinTotal: "0", MaxTotal: "0.00", Currency: "EUR",
		}, ""},
		{"a currency alone", orderapi.SearchRequest{Currency: "JPY"}, ""},
		{"the largest totals", orderapi.SearchRequest{MinTotal: strings.Repeat("9", 27) + ".999999", MaxTotal: strings.Repeat("9", 27) + ".999999", Currency: "EUR"}, ""},
		{"an unknown status", orderapi.SearchRequest{Status: "lost"}, "status"},
		{"a status in capitals", orderapi.SearchRequest{Status: "Pending"}, "status"},
		{"a pattern for a user", orderapi.SearchRequest{UserID: "*"}, "user_id"},
		{"a long user", orderapi.SearchRequest{UserID: strings.Repeat("u", 129)}, "user_id"},
		{"time that runs back", orderapi.SearchRequest{From: noon, To: noon.Add(-1)}, "to"},
		{"no currency", orderapi.SearchRequest{MinTotal: "1"}, "currency"},
		{"no currency either", orderapi.SearchRequest{MaxTotal: "1"}, "currency"},
		{"unknown currency", orderapi.SearchRequest{Currency: "QQQ"}, "currency"},
		{"currency in lower case", orderapi.SearchRequest{Currency: "eur"}, "currency"},
		{"negative", orderapi.SearchRequest{MinTotal: "-1", Currency: "EUR"}, "min_total"},
		{"negative nothing", orderapi.SearchRequest{MaxTotal: "-0", Currency: "EUR"}, "max_total"},
		{"an exponent", orderapi.SearchRequest{MinTotal: "1e3", Currency: "EUR"}, "min_total"},
		{"no number", orderapi.SearchRequest{MinTotal: "NaN", MaxTotal: "Infinity", Currency: "EUR"}, "min_total max_total"},
		{"half numbers", orderapi.SearchRequest{MinTotal: ".5", MaxTotal: "5.", Currency: "EUR"}, "min_total max_total"},
		{"a plus", orderapi.SearchRequest{MinTotal: "+5", Currency: "EUR"}, "min_total"},
		{"a comma", orderapi.SearchRequest{MaxTotal: "5,00", Currency: "EUR"}, "max_total"},
		{"a blank", orderapi.SearchRequest{MaxTotal: " 5", Currency: "EUR"}, "max_total"},
		{"digits of another script", orderapi.SearchRequest{MaxTotal: "٣", Currency: "EUR"}, "max_total"},
		{"28 digits", orderapi.SearchRequest{MinTotal: strings.Repeat("9", 28), Currency: "EUR"}, "min_total"},
		{"seven after the point", orderapi.SearchRequest{MinTotal: "0.0000001", Currency: "EUR"}, "min_total"},
		{"nothing between", orderapi.SearchRequest{MinTotal: "10", MaxTotal: "9.99", Currency: "EUR"}, "max_total"},
		{"many mistakes", orderapi.SearchRequest{Status: "?", UserID: ".", From: noon, To: noon.Add(-1), MinTotal: "x", MaxTotal: "y", Currency: "Z"}, "status user_id to min_total max_total currency"},
	} {
		var fields []string
		for _, w := range c.req.Validate() {
			fields = append(fields, w.Field)
		}
		if got := strings.Join(fields, " "); got != c.fields {
			t.Errorf("%s: wrong are %q, want %q", c.name, got, c.fields)
		}
	}
}
