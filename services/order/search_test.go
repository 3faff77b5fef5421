package order

import (
	"context"
	"database/sql"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bojanz/currency"
	"pgregory.net/rapid"

	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/projection"
	"sluice/services/order/orderapi"
)

// found is a search over tables that a test fills by itself.
type found struct{ search }

func newSearch(t *testing.T) found {
	t.Helper()
	db, err := projection.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "search.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, statement := range searchTables.Create {
		if _, err := db.Writer().ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	tables := projection.SQL(db.Writer(), searchTables, projectSearch)
	return found{search{db: db, tables: tables}}
}

// fold takes events of one order into the tables.
func (f found) fold(t tb, id string, events ...event.Data) {
	t.Helper()
	f.inTx(t, func(ctx context.Context, tx *sql.Tx) error {
		for i, data := range events {
			e := event.Event{Type: data.EventType(), Subject: id, Version: uint64(i + 1)}
			if err := projectSearch(ctx, tx, e, data); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f found) inTx(t tb, do func(ctx context.Context, tx *sql.Tx) error) {
	t.Helper()
	tx, err := f.db.Writer().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := do(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// tb is what tests and property tests have in common.
type tb interface {
	Helper()
	Context() context.Context
	Fatal(args ...any)
}

// all pages through a search and returns the ids.
func (f found) all(t tb, req orderapi.SearchRequest) []string {
	t.Helper()
	var ids []string
	for {
		page, err := f.find(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Items {
			ids = append(ids, o.ID)
		}
		if page.Next == "" {
			return ids
		}
		req.Cursor = page.Next
	}
}

func money(number, code string) currency.Amount {
	a, err := currency.NewAmount(number, code)
	if err != nil {
		panic(err)
	}
	return a
}

func placedBy(id, user string, at time.Time, total currency.Amount) orderapi.Created {
	return orderapi.Created{
		OrderID: id, UserID: user, TotalAmount: total, Timestamp: at,
		Items: []orderapi.Item{{ProductID: "p-1", Quantity: 1, Price: total}},
	}
}

func TestSearchFindsByEveryMember(t *testing.T) {
	t.Parallel()
	f := newSearch(t)
	step := orderapi.Transition{Timestamp: at(50)}
	f.fold(t, "a", placedBy("a", "u-1", at(1), money("19.99", "EUR")))
	f.fold(t, "b", placedBy("b", "u-2", at(2), money("9.00", "EUR")), orderapi.Confirmed{Transition: step})
	f.fold(t, "c", placedBy("c", "u-1", at(3), money("100", "EUR")), orderapi.Cancelled{Transition: step})
	f.fold(t, "d", placedBy("d", "u-2", at(4), money("2000", "JPY")))
	f.fold(t, "e", placedBy("e", "u-1", at(4), money("20.00", "EUR")),
		orderapi.Confirmed{Transition: step}, orderapi.Shipped{Transition: step}, orderapi.Delivered{Transition: step})
	for _, c := range []struct {
		name string
		req  orderapi.SearchRequest
		want string
	}{
		{"everything, newest first, then by id", orderapi.SearchRequest{}, "e d c b a"},
		{"pending", orderapi.SearchRequest{Status: orderapi.StatusPending}, "d a"},
		{"confirmed", orderapi.SearchRequest{Status: orderapi.StatusConfirmed}, "b"},
		{"shipped", orderapi.SearchRequest{Status: orderapi.StatusShipped}, ""},
		{"delivered", orderapi.SearchRequest{Status: orderapi.StatusDelivered}, "e"},
		{"a user", orderapi.SearchRequest{UserID: "u-1"}, "e c a"},
		{"nobody", orderapi.SearchRequest{UserID: "u-3"}, ""},
		{"from, which counts", orderapi.SearchRequest{From: at(3)}, "e d c"},
		{"to, which does not", orderapi.SearchRequest{To: at(3)}, "b a"},
		{"between, in another zone", orderapi.SearchRequest{From: at(2).In(time.FixedZone("", 7200)), To: at(4)}, "c b"},
		{"an empty time", orderapi.SearchRequest{From: at(3), To: at(3)}, ""},
		{"a nanosecond later", orderapi.SearchRequest{From: at(3).Add(1)}, "e d"},
		{"a currency", orderapi.SearchRequest{Currency: "JPY"}, "d"},
		{"nine is less than twenty", orderapi.SearchRequest{MinTotal: "19.99", Currency: "EUR"}, "e c a"},
		{"this or less", orderapi.SearchRequest{MaxTotal: "19.99", Currency: "EUR"}, "b a"},
		{"however it is written", orderapi.SearchRequest{MinTotal: "020", MaxTotal: "100.0", Currency: "EUR"}, "e c"},
		{"a millionth more", orderapi.SearchRequest{MinTotal: "19.990001", Currency: "EUR"}, "e c"},
		{"the largest bound", orderapi.SearchRequest{MaxTotal: strings.Repeat("9", 27) + ".999999", Currency: "EUR"}, "e c b a"},
		{"all at once", orderapi.SearchRequest{Status: orderapi.StatusDelivered, UserID: "u-1", From: at(4), To: at(5), MinTotal: "20", MaxTotal: "20", Currency: "EUR"}, "e"},
	} {
		if wrong := c.req.Validate(); len(wrong) > 0 {
			t.Errorf("%s: refused: %v", c.name, wrong)
		}
		for _, limit := range []int{0, 1, 2, 1000} {
			c.req.Limit = limit
			if got := strings.Join(f.all(t, c.req), " "); got != c.want {
				t.Errorf("%s, %d a page: %q, want %q", c.name, limit, got, c.want)
			}
		}
	}
}

func TestSearchReturnsTheOrderAsItIs(t *testing.T) {
	t.Parallel()
	f := newSearch(t)
	given := []event.Data{placed(), orderapi.Confirmed{Transition: orderapi.Transition{OrderID: orderID, Timestamp: at(9)}}}
	f.fold(t, orderID, given...)
	page, err := f.find(t.Context(), orderapi.SearchRequest{})
	if err != nil || len(page.Items) != 1 || page.Next != "" {
		t.Fatalf("%+v, %v", page, err)
	}
	if got, want := fmt.Sprintf("%+v", page.Items[0]), fmt.Sprintf("%+v", fold(given)); got != want {
		t.Errorf("found %s, want %s", got, want)
	}
}

func TestSearchEndsAPageBeforeItIsTooLarge(t *testing.T) {
	t.Parallel()
	f := newSearch(t)
	for i := range 5 {
		created := placedBy(fmt.Sprint("o-", i), "u", at(i), money("1", "EUR"))
		for range 1000 {
			created.Items = append(created.Items, orderapi.Item{ProductID: strings.Repeat("p", 128), Quantity: 1, Price: money("1", "EUR")})
		}
		f.fold(t, created.OrderID, created)
	}
	page, err := f.find(t.Context(), orderapi.SearchRequest{})
	if err != nil || len(page.Items) != 2 || page.Next == "" {
		t.Fatalf("%d orders, next %q, %v", len(page.Items), page.Next, err)
	}
	if got := strings.Join(f.all(t, orderapi.SearchRequest{}), " "); got != "o-4 o-3 o-2 o-1 o-0" {
		t.Errorf("page by page: %s", got)
	}
}

func TestSearchRefusesForeignCursors(t *testing.T) {
	t.Parallel()
	f := newSearch(t)
	for i := range 3 {
		f.fold(t, fmt.Sprint("o-", i), placedBy(fmt.Sprint("o-", i), "u", at(i), money("1", "EUR")))
	}
	mine := orderapi.SearchRequest{UserID: "u", From: at(0), Limit: 1}
	page, err := f.find(t.Context(), mine)
	if err != nil || page.Next == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	mine.Cursor = page.Next
	same := mine
	same.Limit, same.From = 2, at(0).In(time.FixedZone("", -3600))
	if page, err := f.find(t.Context(), same); err != nil || len(page.Items) != 2 || page.Next != "" {
		t.Errorf("with another limit and the same time: %+v, %v", page, err)
	}
	for name, change := range map[string]func(r *orderapi.SearchRequest){
		"another user":       func(r *orderapi.SearchRequest) { r.UserID = "v" },
		"no user":            func(r *orderapi.SearchRequest) { r.UserID = "" },
		"another time":       func(r *orderapi.SearchRequest) { r.From = at(1) },
		"an end":             func(r *orderapi.SearchRequest) { r.To = at(9) },
		"a status":           func(r *orderapi.SearchRequest) { r.Status = orderapi.StatusPending },
		"a currency":         func(r *orderapi.SearchRequest) { r.Currency = "EUR" },
		"a minimum":          func(r *orderapi.SearchRequest) { r.Currency, r.MinTotal = "EUR", "0" },
		"no base64":          func(r *orderapi.SearchRequest) { r.Cursor = "!" },
		"no JSON":            func(r *orderapi.SearchRequest) { r.Cursor = "AAAA" },
		"one letter less":    func(r *orderapi.SearchRequest) { r.Cursor = r.Cursor[:len(r.Cursor)-1] },
		"another list's":     func(r *orderapi.SearchRequest) { r.Cursor = "MDAwMDAwMDAwMDAwMDAwMDAwMDEub3JkZXI" },
		"a time that is not": func(r *orderapi.SearchRequest) { r.Cursor = forged(t, *r, "x' OR 1=1 --", "o-1") },
		"an id that is not":  func(r *orderapi.SearchRequest) { r.Cursor = forged(t, *r, sortableTime(at(1)), "*") },
	} {
		r := mine
		change(&r)
		_, err := f.find(t.Context(), r)
		if refused := new(endpoint.Error); endpoint.CodeOf(err) != endpoint.CodeInvalid || !asError(err, &refused) || refused.Fields[0].Field != "cursor" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSearchEqualsFiltering compares with plain loops over the same orders.
func TestSearchEqualsFiltering(t *testing.T) {
	t.Parallel()
	f := newSearch(t)
	rapid.Check(t, func(r *rapid.T) {
		f.inTx(r, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "DELETE FROM order_search_v1")
			return err
		})
		totals := rapid.SampledFrom([]string{"0", "0.000001", "9.99", "10", "10.01", "99", "100", "1000", "999999999999999999", "999999999999999999000000000.000000"})
		minutes, users := rapid.IntRange(0, 3), rapid.SampledFrom([]string{"u-1", "u-2"})
		codes := rapid.SampledFrom([]string{"EUR", "JPY"})
		var orders []orderapi.Order
		for i := range rapid.IntRange(0, 12).Draw(r, "orders") {
			id := fmt.Sprintf("o-%02d", i)
			given := []event.Data{placedBy(id, users.Draw(r, "user"), at(minutes.Draw(r, "minute")), money(totals.Draw(r, "total"), codes.Draw(r, "currency")))}
			if rapid.Bool().Draw(r, "confirmed") {
				given = append(given, orderapi.Confirmed{})
			}
			f.fold(r, id, given...)
			o := fold(given)
			o.ID = id
			orders = append(orders, o)
		}
		req := orderapi.SearchRequest{Limit: rapid.IntRange(1, 5).Draw(r, "limit")}
		if rapid.Bool().Draw(r, "by status") {
			req.Status = rapid.SampledFrom([]orderapi.Status{orderapi.StatusPending, orderapi.StatusConfirmed}).Draw(r, "status")
		}
		if rapid.Bool().Draw(r, "by user") {
			req.UserID = users.Draw(r, "of user")
		}
		if rapid.Bool().Draw(r, "by time") {
			req.From, req.To = at(minutes.Draw(r, "from")), at(minutes.Draw(r, "to"))
		}
		if rapid.Bool().Draw(r, "by total") {
			req.Currency, req.MinTotal, req.MaxTotal = codes.Draw(r, "in"), totals.Draw(r, "min"), totals.Draw(r, "max")
		}
		if got, want := f.all(r, req), filtered(orders, req); !slices.Equal(got, want) {
			r.Fatalf("%+v: found %v, want %v", req, got, want)
		}
	})
}

func filtered(orders []orderapi.Order, req orderapi.SearchRequest) []string {
	var kept []orderapi.Order
	for _, o := range orders {
		total := number(o.TotalAmount.Number())
		if (req.Status == "" || o.Status == req.Status) && (req.UserID == "" || o.UserID == req.UserID) &&
			(req.From.IsZero() || !o.CreatedAt.Before(req.From)) && (req.To.IsZero() || o.CreatedAt.Before(req.To)) &&
			(req.Currency == "" || o.TotalAmount.CurrencyCode() == req.Currency) &&
			(req.MinTotal == "" || total.Cmp(number(req.MinTotal)) >= 0) && (req.MaxTotal == "" || total.Cmp(number(req.MaxTotal)) <= 0) {
			kept = append(kept, o)
		}
	}
	slices.SortFunc(kept, func(a, b orderapi.Order) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	})
	var ids []string
	for _, o := range kept {
		ids = append(ids, o.ID)
	}
	return ids
}

func number(s string) *big.Rat {
	n, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	return n
}
