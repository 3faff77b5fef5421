package flows_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"sluice/pkg/endpoint"
	"sluice/services/order/orderapi"
)

// TestOrderAsItWas asks for an order at each of its versions, and at times between.
func TestOrderAsItWas(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	o := s.newOrder(t, s.newUser(t).ID)
	times := []time.Time{o.CreatedAt}
	for _, step := range []string{"confirm", "ship"} {
		var moved orderapi.Order
		s.step(t, o.ID, step).Into(t, http.StatusOK, &moved)
		times = append(times, moved.UpdatedAt)
	}
	path := "/v1/orders/" + o.ID
	for i, want := range []orderapi.Status{orderapi.StatusPending, orderapi.StatusConfirmed, orderapi.StatusShipped} {
		var at orderapi.Order
		s.Get(t, fmt.Sprintf("%s?version=%d", path, i+1), &at)
		if at.Status != want || at.Version != uint64(i+1) || at.TotalAmount != o.TotalAmount {
			t.Errorf("at version %d the order is %+v", i+1, at)
		}
		called, err := call(t, s, orderapi.Get, orderapi.GetRequest{ID: o.ID, Version: uint64(i + 1)})
		if err != nil || called.Status != want {
			t.Errorf("svc.order.get at version %d: %+v, %v", i+1, called, err)
		}
		var then orderapi.Order
		s.Get(t, path+"?at="+times[i].Format(time.RFC3339Nano), &then)
		if then.Version != uint64(i+1) {
			t.Errorf("when version %d came the order was at %d", i+1, then.Version)
		}
	}
	s.Do(t, http.MethodGet, path+"?version=4", nil).Problem(t, http.StatusNotFound, endpoint.CodeNotFound)
	for query, field := range map[string]string{
		"version=0x1": "version", "version=-1": "version", "at=yesterday": "at", "version=1&at=2026-01-02T03:04:05Z": "at",
	} {
		if p := s.Do(t, http.MethodGet, path+"?"+query, nil).Problem(t, http.StatusBadRequest, endpoint.CodeInvalid); !p.Names(field) {
			t.Errorf("%s: the problem does not name %s: %+v", query, field, p.Fields)
		}
	}
	s.Do(t, http.MethodGet, path+"?at=2020-01-01T00:00:00Z", nil).Problem(t, http.StatusNotFound, endpoint.CodeNotFound)
}
