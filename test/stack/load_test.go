//go:build stack

package stack_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"sluice/test/ledger"
	"sluice/test/program"
	"sluice/test/stack"
)

const (
	clients = 8
	pace    = 100 * time.Millisecond // between two requests of a client
	again   = 100 * time.Millisecond // before a request is repeated
)

// load is clients at the gateway, who work while faults happen.
type load struct {
	clients []*ledger.Client
	api     program.Client // of the user admin

	mu      sync.Mutex
	answers map[int]int // by status; 0 is none
	written int         // acknowledged commands
	repeats int         // requests that were made again
	last    time.Time   // when a write was acknowledged, or the load began
	gap     time.Duration
}

func newLoad(t *testing.T, s *stack.Stack, seed uint64) *load {
	t.Helper()
	l := &load{answers: make(map[int]int), api: s.Anybody()}
	l.api.HTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	market := &ledger.Market{Names: make([]string, 30)}
	for i := range market.Names {
		market.Names[i] = fmt.Sprint("wanted-", i)
	}
	for i := range clients {
		l.clients = append(l.clients, &ledger.Client{
			Name: fmt.Sprint("c", i), Random: rand.New(rand.NewPCG(seed, uint64(i)+1)), Market: market, Ask: l.ask,
		})
	}
	return l
}

// signIn gets the clients a token for the next quarter of an hour.
func (l *load) signIn(t *testing.T) {
	t.Helper()
	l.api = l.api.SignIn(t, "admin", program.AdminPassword)
}

// during runs the load while f does.
func (l *load) during(ctx context.Context, t *testing.T, f func()) figures {
	t.Helper()
	before := l.begin()
	stop := make(chan struct{})
	end := sync.OnceFunc(func() { close(stop) })
	var working sync.WaitGroup
	for _, c := range l.clients {
		working.Go(func() { c.Work(ctx, t, pace, stop) })
	}
	defer working.Wait()
	defer end()
	f()
	end()
	working.Wait()
	return l.figures().since(before)
}

func (l *load) commands() []ledger.Command {
	var all []ledger.Command
	for _, c := range l.clients {
		all = append(all, c.Commands...)
	}
	return all
}

// ask makes a request; with insist until an answer tells what became of it.
func (l *load) ask(ctx context.Context, method, path string, body any, insist bool, header ...string) (program.Answer, error) {
	for {
		a, err := l.api.Try(ctx, method, path, body, header...)
		if err != nil {
			a = program.Answer{}
		}
		l.note(method, a)
		if ledger.Definite(a) || !insist {
			return a, nil
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return a, fmt.Errorf("%s %s: no answer in time, the last: %d %s: %w", method, path, a.Status, a.Body, ctx.Err())
		}
		l.mu.Lock()
		l.repeats++
		l.mu.Unlock()
	}
}

// note counts an answer.
func (l *load) note(method string, a program.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[a.Status]++
	if method == http.MethodPost && (a.Status == http.StatusOK || a.Status == http.StatusCreated) {
		now := time.Now()
		l.gap = max(l.gap, now.Sub(l.last))
		l.last = now
		l.written++
	}
}

// figures are what a load has come to.
type figures struct {
	written   int         // acknowledged
	repeats   int         // requests that were made again
	ambiguous int         // commands that were given up without an answer
	answers   map[int]int // by status
	gap       time.Duration
}

// begin forgets the longest gap, and returns the figures until now.
func (l *load) begin() figures {
	l.mu.Lock()
	l.last, l.gap = time.Now(), 0
	l.mu.Unlock()
	return l.figures()
}

func (l *load) figures() figures {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := figures{written: l.written, repeats: l.repeats, answers: maps.Clone(l.answers), gap: max(l.gap, time.Since(l.last))}
	for _, c := range l.commands() {
		if c.Outcome == ledger.Unknown {
			f.ambiguous++
		}
	}
	return f
}

func (f figures) since(before figures) figures {
	for status, n := range before.answers {
		if f.answers[status] -= n; f.answers[status] == 0 {
			delete(f.answers, status)
		}
	}
	f.written -= before.written
	f.repeats -= before.repeats
	f.ambiguous -= before.ambiguous
	return f
}
