package order

import (
	"slices"
	"testing"
	"time"

	"github.com/bojanz/currency"

	"sluice/services/order/orderapi"
)

// TestExportIsTheWholeSearch: page after page, each order once, in the search's order,
// and what is placed meanwhile is not among them.
func TestExportIsTheWholeSearch(t *testing.T) {
	t.Parallel()
	f := newSearch(t)
	total, err := currency.NewAmount("19.99", "EUR")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	place := func(i int) {
		f.fold(t, exportID(i), orderapi.Created{OrderID: exportID(i), UserID: "u-1", TotalAmount: total, Timestamp: begin.Add(time.Duration(i) * time.Second)})
	}
	const orders = exportPage*2 + 7
	for i := range orders {
		place(i)
	}
	var ids []string
	for o, err := range f.export(t.Context(), orderapi.ExportRequest{UserID: "u-1", From: begin.Add(time.Second)}) {
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) == 0 {
			place(orders)
		}
		ids = append(ids, o.ID)
	}
	var want []string
	for i := orders - 1; i >= 1; i-- {
		want = append(want, exportID(i))
	}
	if !slices.Equal(ids, want) {
		t.Errorf("%d orders from %s to %s, want %d from %s", len(ids), ids[0], ids[len(ids)-1], len(want), want[0])
	}
	for _, err := range f.export(t.Context(), orderapi.ExportRequest{MinTotal: "1"}) {
		if err == nil {
			t.Error("a search that can't be is answered")
		}
	}
}

func exportID(i int) string {
	return "o-" + string(rune('a'+i/26/26)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26))
}
