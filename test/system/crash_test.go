package system_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/test/ledger"
	"sluice/test/program"
)

// The process is killed at random moments under load and started again on the same
// data. Clients repeat what was not answered, under the same idempotency key, and
// leave what had none. In the end everything is there that was acknowledged, once.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	const clients, pace = 16, 60 * time.Millisecond
	rounds := 15
	if testing.Short() {
		rounds = 4
	}
	number := *seed
	if number == 0 {
		number = rand.Uint64()
	}
	t.Logf("seed %d", number)
	random := rand.New(rand.NewPCG(number, 0))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	data, at, stop := t.TempDir(), newTarget(), make(chan struct{})
	market := &ledger.Market{Names: make([]string, 30)}
	for i := range market.Names {
		market.Names[i] = fmt.Sprint("wanted-", i)
	}
	all := make([]*client, clients)
	var working sync.WaitGroup
	t.Cleanup(working.Wait)
	for i := range all {
		c := &client{target: at, http: &http.Client{Transport: &http.Transport{}}, answers: make(map[int]int)}
		c.Client = ledger.Client{
			Name: fmt.Sprint("c", i), Random: rand.New(rand.NewPCG(number, uint64(i)+1)), Market: market,
			Ask: c.ask, Hurried: at.hurried,
		}
		all[i] = c
		working.Go(func() { c.Work(ctx, t, pace, stop) })
	}
	first := binary.Start(t, nil, "--data", data)
	admin := first.Client(t) // whose token outlives every process
	first.Kill()
	for round := range rounds {
		if round%4 == 3 { // not even a start is safe
			p := binary.Launch(t, nil, "--data", data)
			lives(t, p, time.Duration(random.Int64N(int64(250*time.Millisecond))))
			p.Kill()
		}
		p := binary.Start(t, nil, "--data", data)
		at.set(admin.At(p.Said(t, "HTTP")))
		lives(t, p, lifetime(random, round))
		at.hurry()
		lives(t, p, 10*time.Millisecond+time.Duration(random.Int64N(int64(60*time.Millisecond))))
		p.Kill()
		if err := p.Errors(); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}
	p := binary.Start(t, nil, "--data", data)
	at.set(admin.At(p.Said(t, "HTTP")))
	lives(t, p, 200*time.Millisecond)
	close(stop)
	working.Wait()

	var commands []ledger.Command
	answers, lost := make(map[int]int), 0
	for _, c := range all {
		commands = append(commands, c.Commands...)
		lost += c.lost
		for status, n := range c.answers {
			answers[status] += n
		}
		c.http.CloseIdleConnections()
	}
	t.Logf("%d rounds; answers by status %v, %d requests without one", rounds, answers, lost)
	checkEverything(ctx, t, p, data, commands)
	p.Stop(t)
	if err := p.Errors(); err != nil {
		t.Error(err)
	}
}

// lifetime is how long the process of a round lives: mostly shorter, at times longer
// than the handlers' acknowledgement wait, after which they work off what the process
// before had in hand.
func lifetime(random *rand.Rand, round int) time.Duration {
	if round%5 == 4 {
		return 5*time.Second + time.Duration(random.Int64N(int64(1500*time.Millisecond)))
	}
	return 50*time.Millisecond + time.Duration(random.Int64N(int64(1200*time.Millisecond)))
}

// lives returns after d; a process that ends before fails the test.
func lives(t *testing.T, p *program.Process, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-p.Exited():
		t.Fatalf("exit code %d: %s", p.ExitCode(t), p.Stderr.String())
	}
}

// checkEverything waits until all is caught up, and holds what clients know, history,
// read models, mails and dead letters against each other.
func checkEverything(ctx context.Context, t *testing.T, p *program.Process, data string, commands []ledger.Command) {
	t.Helper()
	js := jetStream(t, p)
	users := ledger.History(ctx, t, js, "USERS", "user")
	orders := ledger.History(ctx, t, js, "ORDERS", "order")
	expected := ledger.Letters(users, orders)
	began := time.Now()
	ledger.AwaitNotifications(ctx, t, js, expected)
	ledger.AwaitSettled(ctx, t, js, "USERS", "notification-users")
	ledger.AwaitSettled(ctx, t, js, "ORDERS", "notification-orders")
	t.Logf("caught up %s after the load ended", time.Since(began).Round(time.Millisecond))

	notifications := ledger.History(ctx, t, js, "NOTIFICATIONS", "notification")
	t.Logf("commands: %v", ledger.CheckCommands(t, commands, slices.Concat(ledger.Others(users), orders)))
	ledger.CheckVersions(t, users)
	ledger.CheckVersions(t, orders)
	ledger.CheckVersions(t, notifications)
	ledger.CheckUnique(t, users)
	ledger.CheckNotifications(t, notifications, expected)
	checkMails(t, mailFolder(data), expected)
	ledger.CheckModels(ctx, t, js, users, orders, notifications)
	ledger.CheckOverHTTP(t, p.Client(t), orders, ledger.FoldOrders(orders))
	ledger.CheckLogins(ctx, t, js, ledger.Others(users))
	dead, err := js.Stream(ctx, "DEADLETTERS")
	if err != nil {
		t.Fatal(err)
	}
	if n := dead.CachedInfo().State.Msgs; n > 0 {
		t.Errorf("%d dead letters", n)
		for msg := range ledger.Stored(ctx, t, js, "DEADLETTERS", ">") {
			t.Logf("%s: %s", msg.Subject(), msg.Data())
		}
	}
	t.Logf("%d users, %d order events, %d notifications", len(users), len(orders), len(notifications))
}
