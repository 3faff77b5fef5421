package ledger

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

// Market is what all clients compete for.
type Market struct {
	Names []string // of users

	mu     sync.Mutex
	orders []string // ids
}

func (m *Market) offer(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.orders = append(m.orders, id)
}

// latest returns one of the orders that were placed last.
func (m *Market) latest(random *rand.Rand) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.orders[len(m.orders)-1-random.IntN(min(len(m.orders), 5))]
}

// Client is one user of the API. It keeps a record of what it was told.
type Client struct {
	Name   string     // begins all its tags; every client has another
	Random *rand.Rand // its own
	Market *Market

	// Ask makes a request; with insist again and again, until an answer tells what became
	// of it: see [Definite]. The zero answer is none.
	Ask func(ctx context.Context, method, path string, body any, insist bool, header ...string) (program.Answer, error)

	// Hurried returns a channel that is closed while there is no time for what takes long;
	// nil is never.
	Hurried func() <-chan struct{}

	Commands []Command // what it asked for

	count   int
	users   []string
	orders  []seen // its own
	repeats []repeat
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

// Work makes requests, one each tick or faster in a hurry, until stop is closed.
func (c *Client) Work(ctx context.Context, t testing.TB, pace time.Duration, stop <-chan struct{}) {
	t.Helper()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		case <-c.hurried():
		}
		if err := c.step(ctx, t); err != nil {
			t.Errorf("client %s: %v", c.Name, err)
			if ctx.Err() != nil {
				return
			}
		}
	}
}

func (c *Client) step(ctx context.Context, t testing.TB) error {
	t.Helper()
	c.count++
	p := c.Random.IntN(100)
	select {
	case <-c.hurried():
		p = max(p, 10) // a password takes too long
	default:
	}
	switch {
	case p < 10 || len(c.users) == 0:
		return c.register(ctx, t)
	case p < 45 || len(c.orders) == 0:
		return c.place(ctx, t)
	case p < 80:
		return c.move(ctx, t)
	case p < 88 && len(c.repeats) > 0:
		return c.again(ctx, t)
	default:
		return c.look(ctx, t)
	}
}

func (c *Client) tag() string { return fmt.Sprintf("%s-%d", c.Name, c.count) }

// register makes a user, now and then with a name that others want too.
func (c *Client) register(ctx context.Context, t testing.TB) error {
	t.Helper()
	body := Registration(c.tag())
	if c.Random.IntN(3) == 0 {
		body["username"] = c.Market.Names[c.Random.IntN(len(c.Market.Names))]
	}
	cmd := Command{Kind: "user.created", Tag: c.tag() + "@example.com"}
	a, err := c.command(ctx, t, "/v1/users", body, &cmd)
	if err == nil && cmd.Outcome == Done {
		c.users = append(c.users, read[user](t, a).ID)
	}
	return err
}

func (c *Client) place(ctx context.Context, t testing.TB) error {
	t.Helper()
	cmd := Command{Kind: "order.created", Tag: c.tag()}
	a, err := c.command(ctx, t, "/v1/orders", Purchase(c.users[c.Random.IntN(len(c.users))], c.tag()), &cmd)
	if err == nil && cmd.Outcome == Done {
		c.orders = append(c.orders, seen{read[order](t, a), a.Position()})
		c.Market.offer(cmd.ID)
	}
	return err
}

// move takes an order a step on: one of its own, mostly as is possible, or any.
func (c *Client) move(ctx context.Context, t testing.TB) error {
	t.Helper()
	own := len(c.orders) - 1 - c.Random.IntN(min(len(c.orders), 8))
	id, steps := c.orders[own].ID, next[c.orders[own].Status]
	if c.Random.IntN(4) == 0 {
		id, own = c.Market.latest(c.Random), -1
	}
	if own < 0 || len(steps) == 0 || c.Random.IntN(8) == 0 {
		steps = []string{"confirm", "ship", "deliver", "cancel"}
	}
	step := steps[c.Random.IntN(len(steps))]
	cmd := Command{Kind: kinds[step], Tag: c.tag()}
	a, err := c.command(ctx, t, "/v1/orders/"+id+"/"+step, map[string]any{"reason": c.tag()}, &cmd)
	if err == nil && cmd.Outcome == Done && own >= 0 {
		c.orders[own] = seen{read[order](t, a), a.Position()}
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
func (c *Client) command(ctx context.Context, t testing.TB, path string, body map[string]any, cmd *Command) (program.Answer, error) {
	t.Helper()
	var (
		key    string
		header []string
	)
	if c.Random.IntN(2) == 0 {
		key = "key-" + c.tag()
		header = []string{endpoint.HeaderIdempotencyKey, key}
	}
	a, err := c.Ask(ctx, http.MethodPost, path, body, key != "", header...)
	switch {
	case err != nil:
	case a.Status == http.StatusCreated, a.Status == http.StatusOK:
		cmd.Outcome = Done
		got := read[order](t, a) // users have these members too
		cmd.ID, cmd.Version = got.ID, got.Version
		if key != "" {
			c.repeats = append(c.repeats, repeat{path: path, key: key, body: body, answer: a})
		}
	case a.Status == http.StatusConflict:
		cmd.Outcome = Refused
	case Definite(a):
		err = fmt.Errorf("POST %s: status %d: %s", path, a.Status, a.Body)
	}
	c.Commands = append(c.Commands, *cmd)
	return a, err
}

// again repeats a request that was answered, maybe by another process: the answer is
// the same.
func (c *Client) again(ctx context.Context, t testing.TB) error {
	t.Helper()
	r := c.repeats[c.Random.IntN(len(c.repeats))]
	a, err := c.Ask(ctx, http.MethodPost, r.path, r.body, true, endpoint.HeaderIdempotencyKey, r.key)
	if err != nil {
		return err
	}
	if a.Status != r.answer.Status || a.Body != r.answer.Body || a.Position() != r.answer.Position() {
		t.Errorf("POST %s with key %s:\nfirst %d %s %s\n then %d %s %s", r.path, r.key,
			r.answer.Status, r.answer.Position(), r.answer.Body, a.Status, a.Position(), a.Body)
	}
	return nil
}

// look reads an order that was acknowledged, maybe by another process: it is as it
// was then or later.
func (c *Client) look(ctx context.Context, t testing.TB) error {
	t.Helper()
	known := c.orders[c.Random.IntN(len(c.orders))]
	a, err := c.Ask(ctx, http.MethodGet, "/v1/orders/"+known.ID, nil, true, endpoint.HeaderPosition, known.position)
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("GET /v1/orders/%s: status %d: %s", known.ID, a.Status, a.Body)
	}
	if got := read[order](t, a); got.ID != known.ID || got.Version < known.Version {
		t.Errorf("order %s of version %d reads as %s", known.ID, known.Version, a.Body)
	}
	return nil
}

func (c *Client) hurried() <-chan struct{} {
	if c.Hurried == nil {
		return nil
	}
	return c.Hurried()
}

// Definite reports whether an answer tells what became of a request.
func Definite(a program.Answer) bool {
	switch a.Status {
	case 0, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		return false
	default:
		return true
	}
}
