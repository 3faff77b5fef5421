//go:build upgrade

package upgrade_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
	"sluice/test/program"
)

// fleet is the gateways that customers may go to.
type fleet struct {
	mu  sync.Mutex
	all []program.Client
}

func (f *fleet) set(all ...program.Client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = all
}

func (f *fleet) any(random *rand.Rand) program.Client {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all[random.IntN(len(f.all))]
}

// customer places orders and moves them on, each request until it is answered, under
// one idempotency key at whichever gateway, old or new.
type customer struct {
	t      *testing.T
	name   string
	user   string
	fleet  *fleet
	random *rand.Rand
	orders map[string]string // status by id, as it was acknowledged
}

// work goes on until stop is closed and what was begun is done.
func (c *customer) work(ctx context.Context, stop <-chan struct{}) {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			c.t.Errorf("%s: %v", c.name, ctx.Err())
			return
		case <-tick.C:
		}
		key := fmt.Sprintf("%s-%d", c.name, n)
		o, ok := c.insist(ctx, "/v1/orders", purchase(c.user), http.StatusCreated, key)
		if !ok {
			return
		}
		c.orders[o.ID] = "pending"
		if n%2 == 0 {
			if _, ok := c.insist(ctx, "/v1/orders/"+o.ID+"/confirm", nil, http.StatusOK, key+"-confirm"); !ok {
				return
			}
			c.orders[o.ID] = "confirmed"
		}
	}
}

// insist repeats a request until it is answered for good.
func (c *customer) insist(ctx context.Context, path string, body any, want int, key string) (order, bool) {
	for ctx.Err() == nil {
		a, err := c.fleet.any(c.random).Try(ctx, http.MethodPost, path, body, endpoint.HeaderIdempotencyKey, key)
		switch {
		case err != nil: // that gateway is gone
		case a.Status == want:
			var o order
			a.Into(c.t, want, &o)
			return o, true
		case a.Status != http.StatusServiceUnavailable && a.Status != http.StatusGatewayTimeout && a.Status != http.StatusNotFound:
			c.t.Errorf("POST %s: %d %s", path, a.Status, a.Body)
			return order{}, false
		}
	}
	c.t.Errorf("POST %s is not answered in time", path)
	return order{}, false
}

// Replicas of the previous version are replaced by those of the present one, and those
// by the previous ones again, while customers order from whichever gateway there is. No
// order that was acknowledged is lost, none is there twice, every one is confirmed by
// mail once, and both versions show the same in the end.
func TestRoll(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	js := natstest.JetStream(t, server.Connect(t))
	var folders []string
	run := func(b *program.Binary) *program.Process {
		t.Helper()
		folder := t.TempDir()
		folders = append(folders, folder)
		return b.Start(t, []string{"NATS_URL=" + server.URL()}, "--data", folder)
	}
	first := run(&older)
	admin := first.Client(t)
	const customers, phase = 4, 2500 * time.Millisecond
	var (
		gateways fleet
		working  sync.WaitGroup
		stop     = make(chan struct{})
		everyone = make([]*customer, customers)
	)
	gateways.set(admin)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	t.Cleanup(working.Wait)
	for i := range everyone {
		name := fmt.Sprint("customer-", i)
		everyone[i] = &customer{
			t: t, name: name, user: made(t, admin.As(""), "/v1/users", registration(name)), fleet: &gateways,
			random: rand.New(rand.NewPCG(1, uint64(i))), orders: make(map[string]string),
		}
		working.Go(func() { everyone[i].work(ctx, stop) })
	}
	at := func(p *program.Process) program.Client { return admin.At(p.Said(t, "HTTP")) }
	pause := func() {
		select {
		case <-time.After(phase):
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
	}
	pause()
	present := run(&newer)
	gateways.set(at(first), at(present))
	pause()
	gateways.set(at(present))
	first.Stop(t)
	pause()
	back := run(&older)
	gateways.set(at(present), at(back))
	pause()
	gateways.set(at(back))
	present.Stop(t)
	pause()
	present = run(&newer)
	close(stop)
	working.Wait()
	idle(t, js)

	want := make(map[string]string)
	for _, c := range everyone {
		maps.Copy(want, c.orders)
	}
	created := counted(t, js, "ORDERS", "order.created.*")
	if len(created) != len(want) {
		t.Errorf("%d orders are in the history, and %d were acknowledged", len(created), len(want))
	}
	stream, err := js.Stream(t.Context(), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	position := fmt.Sprint("ORDERS=", stream.CachedInfo().State.LastSeq)
	for _, p := range []*program.Process{back, present} {
		at(p).Eventually(t, http.StatusOK, http.MethodGet, "/v1/orders?limit=1", nil, endpoint.HeaderPosition, position)
		shown := all(t, at(p), "/v1/orders?limit=200", endpoint.HeaderPosition, position)
		if len(shown) != len(want) {
			t.Errorf("a search shows %d orders, not %d", len(shown), len(want))
		}
		for id, status := range want {
			if shown[id].Status != status {
				t.Errorf("a search shows order %s as %q, and it was acknowledged as %s", id, shown[id].Status, status)
			}
		}
	}
	for id, status := range want {
		var o order
		at(present).Get(t, "/v1/orders/"+id, &o, endpoint.HeaderPosition, position)
		if o.Status != status {
			t.Errorf("order %s is %s, and was acknowledged as %s", id, o.Status, status)
		}
	}
	for subject, n := range created {
		if n != 1 {
			t.Errorf("%d messages on %s", n, subject)
		}
	}
	if n := len(counted(t, js, "NOTIFICATIONS", "notification.sent.*")); n != len(want)+customers {
		t.Errorf("%d notifications for %d orders and %d users", n, len(want), customers)
	}
	if n := mails(t, folders...); n != len(want)+customers {
		t.Errorf("%d mails for %d orders and %d users", n, len(want), customers)
	}
	if letters := counted(t, js, "DEADLETTERS", ">"); len(letters) > 0 {
		t.Errorf("dead letters: %v", letters)
	}
	t.Logf("%d orders over five rolls", len(want))
	back.Stop(t)
	present.Stop(t)
}
