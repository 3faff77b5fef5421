package system_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"sluice/test/ledger"
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

// client is one user of the API at whichever process there is.
type client struct {
	ledger.Client

	target  *target
	http    *http.Client
	run     int         // the last process that failed to answer
	answers map[int]int // by status
	lost    int         // requests without an answer
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
		if ledger.Definite(a) || !insist {
			return a, nil
		}
	}
}
