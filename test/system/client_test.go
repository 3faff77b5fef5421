package system_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"sluice/pkg/endpoint"
	"sluice/test/program"
)

// target is where the process is at present.
type target struct {
	mu      sync.Mutex
	api     program.Client
	run     int           // counts the processes, from 1
	changed chan struct{} // closed at the next one
	rush    chan struct{} // closed when this one's end is near
}

func newTarget() *target { return &target{changed: make(chan struct{}), rush: make(chan struct{})} }

func (g *target) set(api program.Client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.api = api
	g.run++
	close(g.changed)
	g.changed, g.rush = make(chan struct{}), make(chan struct{})
}

// hurry makes all clients send as fast as they can until the next process, so that
// many requests are in flight when this one dies.
func (g *target) hurry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.rush)
}

func (g *target) hurried() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rush
}

// after returns the process that followed run, waiting for it if need be.
func (g *target) after(ctx context.Context, run int) (program.Client, int, error) {
	for {
		g.mu.Lock()
		api, now, changed := g.api, g.run, g.changed
		g.mu.Unlock()
		if now > run {
			return api, now, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return program.Client{}, 0, fmt.Errorf("wait for a process after run %d: %w", run, ctx.Err())
		}
	}
}

// market is what all clients compete for.
type market struct {
	names []string // of users

	mu     sync.Mutex
	orders []string // ids
}

func (m *market) offer(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.orders = append(m.orders, id)
}

// latest returns one of the orders that were placed last.
func (m *market) latest(random *rand.Rand) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.orders[len(m.orders)-1-random.IntN(min(len(m.orders), 5))]
}

// client is one user of the API. It keeps a record of what it was told.
type client struct {
	t      *testing.T
	name   string
	random *rand.Rand
	target *target
	http   *http.Client
	market *market

	run      int // the last process that failed to answer
	count    int
	users    []string
	orders   []seen // its own
	commands []command
	repeats  []repeat
	answers  map[int]int // by status
	lost     int         // requests without an answer
}

// seen is an order as it was acknowledged last.
type seen struct {
	order

	position string
}

// repeat is a keyed request that was answered, to be made again.
type repeat struct {
	path, key string
	body      map[string]any
	answer    program.Answer
}

// work makes requests, one each tick or faster in a hurry, until stop is closed.
func (c *client) work(ctx context.Context, pace time.Duration, stop <-chan struct{}) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		case <-c.target.hurried():
		}
		if err := c.step(ctx); err != nil {
			c.t.Errorf("client %s: %v", c.name, err)
			return
		}
	}
}

func (c *client) step(ctx context.Context) error {
	c.count++
	p := c.random.IntN(100)
	select {
	case <-c.target.hurried():
		p = max(p, 10) // a password takes too long
	default:
	}
	switch {
	case p < 10 || len(c.users) == 0:
		return c.register(ctx)
	case p < 45 || len(c.orders) == 0:
		return c.place(ctx)
	case p < 80:
		return c.move(ctx)
	case p < 88 && len(c.repeats) > 0:
		return c.again(ctx)
	default:
		return c.look(ctx)
	}
}

func (c *client) tag() string { return fmt.Sprintf("%s-%d", c.name, c.count) }

// register makes a user, now and then with a name that others want too.
func (c *client) register(ctx context.Context) error {
	body := registration(c.tag())
	if c.random.IntN(3) == 0 {
		body["username"] = c.market.names[c.random.IntN(len(c.market.names))]
	}
	cmd := command{kind: "user.created", tag: c.tag() + "@example.com"}
	a, err := c.command(ctx, "/v1/users", body, &cmd)
	if err == nil && cmd.outcome == done {
		c.users = append(c.users, read[user](c.t, a).ID)
	}
	return err
}

func (c *client) place(ctx context.Context) error {
	cmd := command{kind: "order.created", tag: c.tag()}
	a, err := c.command(ctx, "/v1/orders", purchase(c.users[c.random.IntN(len(c.users))], c.tag()), &cmd)
	if err == nil && cmd.outcome == done {
		c.orders = append(c.orders, seen{read[order](c.t, a), a.Position()})
		c.market.offer(cmd.id)
	}
	return err
}

// move takes an order a step on: one of its own, mostly as is possible, or any.
func (c *client) move(ctx context.Context) error {
	own := len(c.orders) - 1 - c.random.IntN(min(len(c.orders), 8))
	id, steps := c.orders[own].ID, next[c.orders[own].Status]
	if c.random.IntN(4) == 0 {
		id, own = c.market.latest(c.random), -1
	}
	if own < 0 || len(steps) == 0 || c.random.IntN(8) == 0 {
		steps = []string{"confirm", "ship", "deliver", "cancel"}
	}
	step := steps[c.random.IntN(len(steps))]
	cmd := command{kind: kinds[step], tag: c.tag()}
	a, err := c.command(ctx, "/v1/orders/"+id+"/"+step, map[string]any{"reason": c.tag()}, &cmd)
	if err == nil && cmd.outcome == done && own >= 0 {
		c.orders[own] = seen{read[order](c.t, a), a.Position()}
	}
	return err
}

// next are the steps that an order can take, by its status.
var next = map[string][]string{
	"pending": {"confirm", "confirm", "confirm", "cancel"}, "confirmed": {"ship", "ship", "ship", "cancel"}, "shipped": {"deliver"},
}

// kinds are the events that steps lead to.
var kinds = map[string]string{
	"confirm": "order.confirmed", "ship": "order.shipped", "deliver": "order.delivered", "cancel": "order.cancelled",
}

// command makes a request with a key, until its outcome is known, or once without.
func (c *client) command(ctx context.Context, path string, body map[string]any, cmd *command) (program.Answer, error) {
	var (
		key    string
		header []string
	)
	if c.random.IntN(2) == 0 {
		key = "key-" + c.tag()
		header = []string{endpoint.HeaderIdempotencyKey, key}
	}
	a, err := c.ask(ctx, http.MethodPost, path, body, key != "", header...)
	switch {
	case err != nil:
		return a, err
	case a.Status == http.StatusCreated, a.Status == http.StatusOK:
		cmd.outcome = done
		got := read[order](c.t, a) // users have these members too
		cmd.id, cmd.version = got.ID, got.Version
		if key != "" {
			c.repeats = append(c.repeats, repeat{path: path, key: key, body: body, answer: a})
		}
	case a.Status == http.StatusConflict:
		cmd.outcome = refused
	case !definite(a):
	default:
		return a, fmt.Errorf("POST %s: status %d: %s", path, a.Status, a.Body)
	}
	c.commands = append(c.commands, *cmd)
	return a, nil
}

// again repeats a request that was answered, maybe by another process: the answer is
// the same.
func (c *client) again(ctx context.Context) error {
	r := c.repeats[c.random.IntN(len(c.repeats))]
	a, err := c.ask(ctx, http.MethodPost, r.path, r.body, true, endpoint.HeaderIdempotencyKey, r.key)
	if err != nil {
		return err
	}
	if a.Status != r.answer.Status || a.Body != r.answer.Body || a.Position() != r.answer.Position() {
		c.t.Errorf("POST %s with key %s:\nfirst %d %s %s\n then %d %s %s", r.path, r.key,
			r.answer.Status, r.answer.Position(), r.answer.Body, a.Status, a.Position(), a.Body)
	}
	return nil
}

// look reads an order that was acknowledged, maybe by another process: it is as it
// was then or later.
func (c *client) look(ctx context.Context) error {
	known := c.orders[c.random.IntN(len(c.orders))]
	a, err := c.ask(ctx, http.MethodGet, "/v1/orders/"+known.ID, nil, true, endpoint.HeaderPosition, known.position)
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("GET /v1/orders/%s: status %d: %s", known.ID, a.Status, a.Body)
	}
	if got := read[order](c.t, a); got.ID != known.ID || got.Version < known.Version {
		c.t.Errorf("order %s of version %d reads as %s", known.ID, known.Version, a.Body)
	}
	return nil
}

// definite reports whether an answer tells what became of a request.
func definite(a program.Answer) bool {
	switch a.Status {
	case 0, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	default:
		return true
	}
}

// ask makes a request to the present process; with insist again and again, until an
// answer tells what became of it. The zero answer is none.
func (c *client) ask(ctx context.Context, method, path string, body any, insist bool, header ...string) (program.Answer, error) {
	for {
		api, run, err := c.target.after(ctx, c.run)
		if err != nil {
			return program.Answer{}, err
		}
		api.HTTP = c.http
		a, err := api.Try(ctx, method, path, body, header...)
		if err != nil {
			c.lost++
			c.run = run // that one is dead
			a = program.Answer{}
		}
		c.answers[a.Status]++
		if definite(a) || !insist {
			return a, nil
		}
	}
}
