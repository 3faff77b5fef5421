package discovery_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"sluice/pkg/discovery"
	"sluice/pkg/natstest"
)

// patience is how long anything may take on a busy machine.
const patience = 20 * time.Second

// unhurried asks without a cache that matters, and waits for as long as it takes.
var unhurried = discovery.Config{TTL: time.Nanosecond, Collect: 2 * time.Second, Interval: 20 * time.Millisecond}

// serve runs an instance and returns how to stop it.
func serve(t *testing.T, nc *nats.Conn, name, version string) (id string, stop func()) {
	t.Helper()
	s, err := micro.AddService(nc, micro.Config{Name: name, Version: version, Description: "a test's", Metadata: map[string]string{"zone": "a"}})
	if err != nil {
		t.Fatal(err)
	}
	err = s.AddEndpoint("echo", micro.HandlerFunc(func(r micro.Request) { _ = r.Respond(r.Data()) }),
		micro.WithEndpointSubject("svc."+name+".echo"), micro.WithEndpointMetadata(map[string]string{"http.method": "GET"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return s.Info().ID, func() {
		t.Helper()
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInstancesAreWhatRuns(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	found := discovery.New(srv.Connect(t), unhurried)
	if _, err := found.All(t.Context()); !errors.Is(err, discovery.ErrNoInstances) {
		t.Errorf("with nobody there: %v", err)
	}
	one, stopOne := serve(t, srv.Connect(t), "order", "1.0.0")
	two, _ := serve(t, srv.Connect(t), "order", "1.1.0")
	serve(t, srv.Connect(t), "user", "1.0.0")

	all, err := found.All(t.Context())
	if err != nil || len(all) != 3 || all[2].Name != "user" {
		t.Fatalf("all: %+v, %v", all, err)
	}
	orders, err := found.Instances(t.Context(), "order")
	if err != nil || len(orders) != 2 {
		t.Fatalf("orders: %+v, %v", orders, err)
	}
	first := orders[0]
	if first.Description != "a test's" || first.Metadata["zone"] != "a" || first.Seen.IsZero() || len(first.Endpoints) != 1 {
		t.Errorf("an instance is %+v", first)
	}
	if e := first.Endpoints[0]; e.Name != "echo" || e.Subject != "svc.order.echo" || e.QueueGroup == "" || e.Metadata["http.method"] != "GET" {
		t.Errorf("its endpoint is %+v", e)
	}
	newer, err := found.Version(t.Context(), "order", "1.1.0")
	if err != nil || len(newer) != 1 || newer[0].ID != two {
		t.Errorf("1.1.0: %+v, %v", newer, err)
	}
	if _, err := found.Version(t.Context(), "order", "2.0.0"); !errors.Is(err, discovery.ErrNoInstances) {
		t.Errorf("a version that nobody has: %v", err)
	}
	stopOne()
	ids, err := found.Ping(t.Context(), "order")
	if err != nil || len(ids) != 1 || ids[0] != two {
		t.Errorf("after %s stopped: %v, %v", one, ids, err)
	}
	if _, err := found.Instances(t.Context(), "payment"); !errors.Is(err, discovery.ErrNoInstances) {
		t.Errorf("a service that nobody runs: %v", err)
	}
	for _, name := range []string{"", "a.b", "*", ">", "a b"} {
		if _, err := found.Instances(t.Context(), name); !errors.Is(err, discovery.ErrName) {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

func TestStatisticsCount(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	nc := srv.Connect(t)
	serve(t, srv.Connect(t), "order", "1.0.0")
	if _, err := nc.Request("svc.order.echo", []byte("x"), patience); err != nil {
		t.Fatal(err)
	}
	stats, err := discovery.New(nc, unhurried).Statistics(t.Context(), "order")
	if err != nil || len(stats) != 1 || stats[0].Started.IsZero() || len(stats[0].Endpoints) != 1 || stats[0].Endpoints[0].Requests != 1 {
		t.Errorf("%+v, %v", stats, err)
	}
}

// The three ways in which nothing is found are three errors.
func TestAnOutageIsNoEmptyList(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	serve(t, srv.Connect(t), "order", "1.0.0")
	lost := make(chan struct{})
	nc := srv.Connect(t, nats.DisconnectErrHandler(func(*nats.Conn, error) { close(lost) }), nats.ReconnectWait(time.Hour))
	found := discovery.New(nc, discovery.Config{TTL: time.Nanosecond, Collect: 100 * time.Millisecond})

	// Somebody listens and says nothing.
	mute := srv.Connect(t)
	if _, err := mute.SubscribeSync("$SRV.INFO.mute"); err != nil {
		t.Fatal(err)
	}
	if err := mute.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := found.Instances(t.Context(), "mute"); !errors.Is(err, discovery.ErrTimeout) || errors.Is(err, discovery.ErrNoInstances) {
		t.Errorf("silence: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := found.Instances(ended, "order"); !errors.Is(err, discovery.ErrTimeout) || !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	srv.Stop()
	<-lost
	for name, ask := range map[string]func() error{
		"all":        func() error { _, err := found.All(t.Context()); return err },
		"instances":  func() error { _, err := found.Instances(t.Context(), "order"); return err },
		"ping":       func() error { _, err := found.Ping(t.Context(), "order"); return err },
		"statistics": func() error { _, err := found.Statistics(t.Context(), "order"); return err },
	} {
		if err := ask(); !errors.Is(err, discovery.ErrUnreachable) || errors.Is(err, discovery.ErrNoInstances) {
			t.Errorf("%s without NATS: %v", name, err)
		}
	}
}

// What is no answer to the question is not taken for one.
func TestGarbageIsPassedOver(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	id, _ := serve(t, srv.Connect(t), "order", "1.0.0")
	liar := srv.Connect(t)
	_, err := liar.Subscribe("$SRV.INFO.order", func(m *nats.Msg) {
		for _, text := range []string{
			"", "null", "[]", "{", `{"name":"order"}`, `{"name":"user","id":"x"}`, `{"name":"a b","id":"x"}`,
			`{"name":"order","id":7}`, `{"name":"order","id":"` + id + `","version":"9.9.9"`,
		} {
			_ = m.Respond([]byte(text))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := liar.Flush(); err != nil {
		t.Fatal(err)
	}
	got, err := discovery.New(srv.Connect(t), unhurried).Instances(t.Context(), "order")
	if err != nil || len(got) != 1 || got[0].Version != "1.0.0" {
		t.Errorf("%+v, %v", got, err)
	}
}

// A service that takes another's id hides nobody.
func TestAnIDTakenTwiceHidesNobody(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	id, _ := serve(t, srv.Connect(t), "order", "1.0.0")
	liar := srv.Connect(t)
	_, err := liar.Subscribe("$SRV.INFO", func(m *nats.Msg) {
		_ = m.Respond([]byte(`{"name":"another","id":"` + id + `","version":"9.9.9"}`))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := liar.Flush(); err != nil {
		t.Fatal(err)
	}
	found := discovery.New(srv.Connect(t), unhurried)
	for range 2 { // the second time both are expected
		got, err := found.All(t.Context())
		if err != nil || len(got) != 2 || got[0].Name != "another" || got[1].Name != "order" {
			t.Fatalf("%+v, %v", got, err)
		}
	}
}

// Once all are known, nobody waits for the whole of Collect.
func TestKnownInstancesEndTheQuestion(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	serve(t, srv.Connect(t), "order", "1.0.0")
	cfg := unhurried
	found := discovery.New(srv.Connect(t), cfg)
	if _, err := found.Instances(t.Context(), "order"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), cfg.Collect/2) // it fails if it takes that long
	defer cancel()
	got, err := found.Instances(ctx, "order")
	if err != nil || len(got) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Answers that may have been lost with the connection are not taken for all there are.
func TestAConnectionLostOnTheWayIsAnOutage(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	proxy := srv.Proxy(t)
	serve(t, srv.Connect(t), "order", "1.0.0")
	spy := srv.Connect(t)
	if _, err := spy.Subscribe("$SRV.INFO.order", func(*nats.Msg) { proxy.Cut() }); err != nil {
		t.Fatal(err)
	}
	if err := spy.Flush(); err != nil {
		t.Fatal(err)
	}
	found := discovery.New(natstest.Dial(t, proxy.URL()), discovery.Config{})
	if got, err := found.Instances(t.Context(), "order"); !errors.Is(err, discovery.ErrUnreachable) {
		t.Errorf("%+v, %v", got, err)
	}
}

// One lost answer is no departure.
func TestWatchAsksTwiceBeforeSomebodyHasLeft(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	serve(t, srv.Connect(t), "order", "1.0.0")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	asked := 0
	shy := srv.Connect(t)
	_, err := shy.Subscribe("$SRV.INFO.order", func(m *nats.Msg) {
		switch asked++; asked {
		case 2, 4, 6:
			return
		case 8:
			cancel()
		}
		_ = m.Respond([]byte(`{"name":"order","id":"shy","version":"1.0.0"}`))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := shy.Flush(); err != nil {
		t.Fatal(err)
	}
	cfg := unhurried
	cfg.Collect = 250 * time.Millisecond
	changes := 0
	for change, err := range discovery.New(srv.Connect(t), cfg).Watch(ctx, "order") {
		changes++
		if err != nil || len(change.Left) > 0 || len(change.Now) != 2 {
			t.Fatalf("%+v, %v", change, err)
		}
	}
	if changes != 1 {
		t.Errorf("%d changes, although nothing changed", changes)
	}
}

// A watch that is told to asks at once.
func TestRecheckDoesNotWait(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	cfg := unhurried
	cfg.Interval = time.Hour
	found := discovery.New(srv.Connect(t), cfg)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	joined := false
	for change, err := range found.Watch(ctx, "order") {
		if err != nil {
			t.Fatal(err)
		}
		if joined = len(change.Joined) == 1; joined {
			break
		}
		serve(t, srv.Connect(t), "order", "1.0.0")
		go func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				found.Recheck()
				<-tick.C
			}
		}()
	}
	if !joined {
		t.Error("nobody was seen")
	}
}

func TestWatchSeesWhoComesAndGoes(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	found := discovery.New(srv.Connect(t), unhurried)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var (
		id, newer string
		stop      func()
		step      int
	)
	for change, err := range found.Watch(ctx, "order") {
		if err != nil {
			t.Fatal(err)
		}
		step++
		switch step {
		case 1:
			if len(change.Now) != 0 {
				t.Errorf("at first: %+v", change)
			}
			id, stop = serve(t, srv.Connect(t), "order", "1.0.0")
		case 2:
			if len(change.Joined) != 1 || change.Joined[0].ID != id || len(change.Now) != 1 || len(change.Left) != 0 {
				t.Errorf("after the first came: %+v", change)
			}
			newer, _ = serve(t, srv.Connect(t), "order", "2.0.0")
		case 3:
			if len(change.Joined) != 1 || change.Joined[0].ID != newer || change.Joined[0].Version != "2.0.0" || len(change.Now) != 2 {
				t.Errorf("after another version came: %+v", change)
			}
			stop()
		case 4:
			if len(change.Left) != 1 || change.Left[0].ID != id || len(change.Now) != 1 || len(change.Joined) != 0 {
				t.Errorf("after the first went: %+v", change)
			}
			cancel()
		}
	}
	if step != 4 {
		t.Errorf("%d changes, the context ended with %v", step, context.Cause(ctx))
	}
}

// An outage is told once, and nobody has left in it.
func TestWatchOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	serve(t, srv.Connect(t), "order", "1.0.0")
	proxy := srv.Proxy(t)
	nc := natstest.Dial(t, proxy.URL())
	found := discovery.New(nc, unhurried)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	outages, again := 0, ""
	for change, err := range found.Watch(ctx, "order") {
		switch {
		case err != nil:
			if !errors.Is(err, discovery.ErrUnreachable) {
				t.Errorf("the outage: %v", err)
			}
			outages++
			again, _ = serve(t, srv.Connect(t), "order", "1.0.1")
		case again == "" && outages == 0:
			srv.Restart(t)
		default:
			if len(change.Left) > 0 {
				t.Errorf("somebody left: %+v", change)
			}
			for _, i := range change.Joined {
				if i.ID == again {
					cancel()
				}
			}
		}
	}
	if again == "" || !errors.Is(context.Cause(ctx), context.Canceled) {
		t.Errorf("%d outages; ended with %v", outages, context.Cause(ctx))
	}
}
