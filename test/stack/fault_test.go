//go:build stack

// Package stack_test breaks parts of the running stack while clients use it, and holds
// afterwards that nothing acknowledged is lost, nothing is there twice, and every read model
// is exact.
package stack_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/test/ledger"
	"sluice/test/stack"
)

var (
	seed     = flag.Uint64("seed", 0, "`number` that a failed run has logged; 0 draws a new one")
	loadTime = flag.Duration("load", 2*time.Second, "how long the load goes on before, in and after each fault")
	rounds   = flag.Int("rounds", 1, "how often each fault happens")
	only     = flag.String("only", "", "faults whose names hold this `text`; default: all")
	logs     = flag.String("logs", "", "a `folder` for the logs of all containers; default: they are not kept")
)

// fault breaks something and mends it.
type fault struct {
	name string
	do   func(t *testing.T, w *world) (mended time.Time)
}

// world is what faults happen to.
type world struct {
	*stack.Stack

	js     jetstream.JetStream
	load   *load
	killed []*stack.Node // of this round
}

// other returns a node that has not been killed in this round.
func (w *world) other() *stack.Node {
	for _, n := range w.Nodes {
		if !slices.Contains(w.killed, n) {
			return n
		}
	}
	return w.Nodes[0]
}

// goesOn returns after the load has gone on for d.
func (w *world) goesOn(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

var faults = []fault{
	{"nothing", func(t *testing.T, w *world) time.Time {
		t.Helper()
		w.goesOn(t, *loadTime)
		return time.Now()
	}},
	{"kill the stream leader", func(t *testing.T, w *world) time.Time {
		t.Helper()
		return w.kill(t, w.Leader(t, "ORDERS"))
	}},
	{"kill another node", func(t *testing.T, w *world) time.Time {
		t.Helper()
		return w.kill(t, w.other())
	}},
	{"kill the last node", func(t *testing.T, w *world) time.Time {
		t.Helper()
		return w.kill(t, w.other())
	}},
	{"pause a node for 30 s", func(t *testing.T, w *world) time.Time {
		t.Helper()
		node := w.Leader(t, "ORDERS")
		node.Pause(t)
		w.goesOn(t, 30*time.Second)
		node.Resume(t)
		return time.Now()
	}},
	{"cut a node from the others", func(t *testing.T, w *world) time.Time {
		t.Helper()
		node := w.Leader(t, "ORDERS")
		node.Cut(t)
		w.goesOn(t, 10*time.Second+*loadTime)
		node.Heal(t)
		return time.Now()
	}},
	{"restart the nodes in turn", func(t *testing.T, w *world) time.Time {
		t.Helper()
		for _, node := range w.Nodes {
			node.Stop(t)
			node.Start(t)
			w.AwaitReady(t)
		}
		return time.Now()
	}},
	{"replace the services in turn", func(t *testing.T, w *world) time.Time {
		t.Helper()
		for _, service := range []string{"order", "notification", "user", "gateway"} {
			w.Replace(t, service)
		}
		return time.Now()
	}},
}

func (w *world) kill(t *testing.T, node *stack.Node) time.Time {
	t.Helper()
	node.Kill(t)
	w.killed = append(w.killed, node)
	w.goesOn(t, *loadTime)
	node.Start(t)
	return time.Now()
}

// TestFaults: one fault after another happens to one stack, under load, and after each
// everything that was acknowledged since the beginning is there.
func TestFaults(t *testing.T) { //nolint:paralleltest // it measures, so nothing else may run
	number := *seed
	if number == 0 {
		number = rand.Uint64()
	}
	t.Logf("seed %d", number)
	s := stack.Start(t, stack.Config{Logs: *logs})
	w := &world{Stack: s, js: s.JetStream(t), load: newLoad(t, s, number)}
	var report strings.Builder
	table := tabwriter.NewWriter(&report, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "fault\tno write for\tready after\tacknowledged\trepeated\tambiguous\tanswers\t")
	for range *rounds {
		w.killed = nil
		for _, f := range faults {
			if !strings.Contains(f.name, *only) {
				continue
			}
			t.Run(strings.ReplaceAll(f.name, " ", "-"), func(t *testing.T) {
				w.load.signIn(t)
				var ready time.Duration
				got := w.load.during(t.Context(), t, func() {
					w.goesOn(t, *loadTime/2)
					mended := f.do(t, w)
					w.AwaitReady(t)
					ready = time.Since(mended)
					w.goesOn(t, *loadTime/2)
				})
				fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%v\t\n", f.name, got.gap.Round(10*time.Millisecond), ready.Round(10*time.Millisecond),
					got.written, got.repeats, got.ambiguous, got.answers)
				w.check(t)
			})
		}
	}
	if err := table.Flush(); err != nil {
		t.Error(err)
	}
	t.Logf("\n%s", &report)
	s.CheckServices(t)
}

const (
	checkTime = 2 * time.Minute // until everything is caught up and compared
	looks     = 100             // at the latest events' orders, one by one
)

// check waits until all is caught up, and holds what clients know, history, read models and
// dead letters against each other.
func (w *world) check(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), checkTime)
	defer cancel()
	users := ledger.History(ctx, t, w.js, "USERS", "user")
	orders := ledger.History(ctx, t, w.js, "ORDERS", "order")
	expected := ledger.Letters(users, orders)
	ledger.AwaitNotifications(ctx, t, w.js, expected)
	for _, group := range [][2]string{{"USERS", "notification-users"}, {"ORDERS", "notification-orders"}, {"ORDERS", "order-timers"}} {
		ledger.AwaitSettled(ctx, t, w.js, group[0], group[1])
	}
	notifications := ledger.History(ctx, t, w.js, "NOTIFICATIONS", "notification")
	counts := ledger.CheckCommands(t, w.load.commands(), slices.Concat(ledger.Others(users), orders))
	for _, events := range [][]ledger.Event{users, orders, notifications} {
		ledger.CheckVersions(t, events)
	}
	ledger.CheckUnique(t, users)
	ledger.CheckNotifications(t, notifications, expected)
	ledger.CheckModels(ctx, t, w.js, users, orders, notifications)
	ledger.CheckOverHTTP(t, w.load.api, orders[max(0, len(orders)-looks):], ledger.FoldOrders(orders))
	for msg := range ledger.Stored(ctx, t, w.js, "DEADLETTERS", "deadletter.>") {
		t.Errorf("a dead letter: %s %v %s", msg.Subject(), msg.Headers(), msg.Data())
	}
	w.checkSearch(t, orders)
	w.checkSessions(t, ledger.Others(users))
	w.AwaitAgreement(t)
	t.Logf("%d users, %d order events, %d notifications; commands %v", len(users), len(orders), len(notifications), counts)
}
