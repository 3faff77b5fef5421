package order

import (
	"context"
	"iter"

	"sluice/services/order/orderapi"
)

// exportPage is how many orders are read at once: no query is open while the caller
// makes us wait.
const exportPage = 500

// export yields what a search finds, page after page. Orders that are placed meanwhile
// are not among them, and each of the others is there once.
func (s search) export(ctx context.Context, req orderapi.ExportRequest) iter.Seq2[orderapi.Order, error] {
	return func(yield func(orderapi.Order, error) bool) {
		next := req.Search()
		next.Limit = exportPage
		for {
			found, err := s.find(ctx, next)
			if err != nil {
				yield(orderapi.Order{}, err)
				return
			}
			for _, o := range found.Items {
				if !yield(o, nil) {
					return
				}
			}
			if found.Next == "" {
				return
			}
			next.Cursor = found.Next
		}
	}
}
