package orderapi_test

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/bojanz/currency"
	"pgregory.net/rapid"

	"sluice/pkg/endpoint"
	"sluice/services/order/orderapi"
)

func amount(t testing.TB, number, code string) currency.Amount {
	t.Helper()
	a, err := currency.NewAmount(number, code)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func item(t testing.TB, quantity int64, number, code string) orderapi.Item {
	t.Helper()
	return orderapi.Item{ProductID: "p", Quantity: quantity, Price: amount(t, number, code)}
}

func TestTotal(t *testing.T) {
	t.Parallel()
	many := func(n int, i orderapi.Item) []orderapi.Item {
		items := make([]orderapi.Item, n)
		for j := range items {
			items[j] = i
		}
		return items
	}
	for _, c := range []struct {
		name  string
		items []orderapi.Item
		want  string
	}{
		{"one", []orderapi.Item{item(t, 2, "19.99", "EUR")}, "39.98 EUR"},
		{"what floats get wrong", []orderapi.Item{item(t, 3, "0.1", "EUR"), item(t, 1, "0.2", "EUR")}, "0.5 EUR"},
		{"a thousand cents", many(1000, item(t, 1, "0.01", "USD")), "10.00 USD"},
		{"free", []orderapi.Item{item(t, 5, "0.00", "EUR")}, "0.00 EUR"},
		{"whole yen", []orderapi.Item{item(t, 3, "1999", "JPY")}, "5997 JPY"},
		{"fractions of a cent", []orderapi.Item{item(t, 3, "0.000001", "EUR")}, "0.000003 EUR"},
		{"the most of everything", many(1000, item(t, 1_000_000, "999999999999.999999", "EUR")), "999999999999999999000.000000 EUR"},
	} {
		total, wrong := orderapi.Total(c.items)
		if total.String() != c.want || len(wrong) > 0 {
			t.Errorf("%s: %s %v, want %s", c.name, total, wrong, c.want)
		}
	}
}

func TestTotalRefuses(t *testing.T) {
	t.Parallel()
	good := item(t, 1, "1.00", "EUR")
	nameless := good
	nameless.ProductID = ""
	long := good
	long.ProductID = strings.Repeat("p", 129)
	many := make([]orderapi.Item, 1001)
	for i := range many {
		many[i] = good
	}
	for _, c := range []struct {
		name   string
		items  []orderapi.Item
		fields string
	}{
		{"nothing", nil, "items"},
		{"too many items", many, "items"},
		{"no quantity", []orderapi.Item{good, item(t, 0, "1", "EUR")}, "items[1].quantity"},
		{"negative quantity", []orderapi.Item{item(t, -1, "1", "EUR")}, "items[0].quantity"},
		{"a million and one", []orderapi.Item{item(t, 1_000_001, "1", "EUR")}, "items[0].quantity"},
		{"the largest quantity", []orderapi.Item{item(t, math.MaxInt64, "999999999999999999", "EUR")}, "items[0].quantity"},
		{"no price", []orderapi.Item{{ProductID: "p", Quantity: 1}}, "items[0].price"},
		{"negative price", []orderapi.Item{item(t, 1, "-0.01", "EUR")}, "items[0].price"},
		{"nineteen digits", []orderapi.Item{item(t, 1, "1234567890123456789", "EUR")}, "items[0].price.number"},
		{"seven after the point", []orderapi.Item{item(t, 1, "0.0000001", "EUR")}, "items[0].price.number"},
		{"exponent", []orderapi.Item{item(t, 1, "1e400", "EUR")}, "items[0].price.number"},
		{"two currencies", []orderapi.Item{good, item(t, 1, "1", "USD")}, "items[1].price.currency"},
		{"no product", []orderapi.Item{nameless}, "items[0].product_id"},
		{"long product", []orderapi.Item{long}, "items[0].product_id"},
		{"two mistakes", []orderapi.Item{{Price: good.Price}}, "items[0].product_id items[0].quantity"},
		{"a mistake each", []orderapi.Item{nameless, item(t, 0, "1", "EUR")}, "items[0].product_id items[1].quantity"},
	} {
		_, wrong := orderapi.Total(c.items)
		fields := make([]string, len(wrong))
		for i, w := range wrong {
			fields[i] = w.Field
		}
		if got := strings.Join(fields, " "); got != c.fields {
			t.Errorf("%s: %q, want %q", c.name, got, c.fields)
		}
	}
}

// TestTotalIsExact compares with rational numbers.
func TestTotalIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		var (
			items []orderapi.Item
			want  big.Rat
		)
		for range rapid.IntRange(1, 60).Draw(r, "items") {
			number := rapid.StringMatching(`(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?`).Draw(r, "number")
			quantity := rapid.Int64Range(1, 1_000_000).Draw(r, "quantity")
			items = append(items, item(t, quantity, number, "EUR"))
			price, ok := new(big.Rat).SetString(number)
			if !ok {
				r.Fatalf("%q is no number", number)
			}
			want.Add(&want, price.Mul(price, new(big.Rat).SetInt64(quantity)))
		}
		total, wrong := orderapi.Total(items)
		got, ok := new(big.Rat).SetString(total.Number())
		if len(wrong) > 0 || !ok || got.Cmp(&want) != 0 {
			r.Fatalf("total is %s, want %s; %v", total, want.FloatString(6), wrong)
		}
	})
}

func TestEventsCheckThemselves(t *testing.T) {
	t.Parallel()
	good := orderapi.Created{
		OrderID: "o", UserID: "u", Timestamp: time.Unix(0, 0),
		Items: []orderapi.Item{item(t, 2, "19.99", "EUR")}, TotalAmount: amount(t, "39.98", "EUR"),
	}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *orderapi.Created){
		"no order":         func(c *orderapi.Created) { c.OrderID = "" },
		"no user":          func(c *orderapi.Created) { c.UserID = "" },
		"no items":         func(c *orderapi.Created) { c.Items = nil },
		"wrong total":      func(c *orderapi.Created) { c.TotalAmount = amount(t, "39.97", "EUR") },
		"another currency": func(c *orderapi.Created) { c.TotalAmount = amount(t, "39.98", "USD") },
		"no total":         func(c *orderapi.Created) { c.TotalAmount = currency.Amount{} },
		"bad item":         func(c *orderapi.Created) { c.Items = []orderapi.Item{item(t, 0, "1", "EUR")} },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if err := (orderapi.Confirmed{}).Validate(); err == nil {
		t.Error("a step of no order is accepted")
	}
	if err := (orderapi.Cancelled{Transition: orderapi.Transition{OrderID: "o", Reason: strings.Repeat("ü", 501)}}).Validate(); err == nil {
		t.Error("a long reason is accepted")
	}
	if err := (orderapi.Cancelled{Transition: orderapi.Transition{OrderID: "o", Reason: strings.Repeat("ü", 500)}}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestCreateRequestNamesTheField(t *testing.T) {
	t.Parallel()
	wrong := orderapi.CreateRequest{UserID: "u", Items: []orderapi.Item{item(t, 1, "1", "EUR"), item(t, 1, "-1", "EUR")}}.Validate()
	if got := fmt.Sprint(wrong); got != fmt.Sprint([]endpoint.FieldError{{Field: "items[1].price", Message: "must not be negative"}}) {
		t.Errorf("wrong is %s", got)
	}
}
