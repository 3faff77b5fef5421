package resilience_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sluice/pkg/resilience"
)

// model is a breaker that has all the time in the world: it keeps what happened and
// looks at all of it.
type model struct {
	cfg      resilience.Breaker
	state    resilience.State
	changes  int // the generation
	changed  time.Time
	results  []result // of this generation
	underWay int      // of this generation
	told     []resilience.Change
}

type result struct {
	at time.Time
	ok bool
}

func (m *model) become(s resilience.State, cause error) {
	m.told = append(m.told, resilience.Change{Policy: "user", From: m.state, To: s, At: time.Now(), Cause: cause})
	m.state, m.changes, m.changed, m.results, m.underWay = s, m.changes+1, time.Now(), nil, 0
}

func (m *model) admits() bool {
	if m.state == resilience.Open && time.Since(m.changed) >= m.cfg.Recovery {
		m.become(resilience.HalfOpen, nil)
	}
	ok := m.state == resilience.Closed || m.state == resilience.HalfOpen && m.underWay < m.cfg.Probes
	if ok {
		m.underWay++
	}
	return ok
}

// lesson is what a call teaches about its target.
type lesson int

const (
	nothing lesson = iota
	isWell
	isDown
)

func (m *model) ends(generation int, l lesson, err error) {
	if generation != m.changes {
		return
	}
	m.underWay--
	if l == nothing {
		return
	}
	m.results = append(m.results, result{time.Now(), l == isWell})
	switch {
	case m.state == resilience.HalfOpen && l == isDown, m.state == resilience.Closed && m.tooMany():
		m.become(resilience.Open, err)
	case m.state == resilience.HalfOpen && len(m.results) == m.cfg.Probes:
		m.become(resilience.Closed, nil)
	}
}

func (m *model) tooMany() bool {
	if m.cfg.Window == 0 {
		row := 0
		for _, r := range m.results {
			row++
			if r.ok {
				row = 0
			}
		}
		return row >= m.cfg.Failures
	}
	slice := m.cfg.Window.Nanoseconds() / 10
	oldest := time.Now().UnixNano()/slice - 9
	calls, failures := 0, 0
	for _, r := range m.results {
		if r.at.UnixNano()/slice >= oldest {
			calls++
			if !r.ok {
				failures++
			}
		}
	}
	return calls >= m.cfg.MinCalls && math.Round(100*float64(failures)/float64(calls))/100 >= m.cfg.Rate
}

func TestBreakerIsTheModel(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]func(*rapid.T) resilience.Breaker{
		"consecutive": func(t *rapid.T) resilience.Breaker {
			return resilience.Breaker{Failures: rapid.IntRange(1, 4).Draw(t, "failures")}
		},
		"window": func(t *rapid.T) resilience.Breaker {
			return resilience.Breaker{
				Window:   20 * time.Second,
				MinCalls: rapid.IntRange(1, 5).Draw(t, "min calls"),
				Rate:     rapid.SampledFrom([]float64{0.3, 0.5, 1}).Draw(t, "rate"),
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				noDeadline := struct{ rapid.TB }{t} // it would be one of the real clock
				rapid.Check(noDeadline, func(rt *rapid.T) { follow(t, rt, cfg(rt)) })
			})
		})
	}
}

// ending is how a call may end.
type ending struct {
	name    string
	act     func(cancel func()) error // what the target does; cancel is the caller's giving up
	err     error                     // what the caller gets
	teaches lesson
	soon    lesson // when the call has lasted for less than the breaker's patience
}

var errPanic = errors.New("panic")

func says(name string, err error, teaches lesson) ending {
	return ending{name: name, act: func(func()) error { return err }, err: err, teaches: teaches, soon: teaches}
}

var endings = []ending{
	says("success", nil, isWell),
	says("failure", errDown, isDown),
	says("failure", errDown, isDown),
	says("nobody there", errGone, isDown),
	says("too busy", errBusy, isWell),
	says("the caller's mistake", errNotFound, isWell),
	says("cancelled further down", context.Canceled, nothing),
	{name: "no answer in time", act: func(func()) error { return context.DeadlineExceeded }, err: context.DeadlineExceeded, teaches: isDown, soon: nothing},
	{name: "the caller gives up", act: func(cancel func()) error { cancel(); return context.Canceled }, err: context.Canceled},
	{name: "the caller gives up as the target fails", act: func(cancel func()) error { cancel(); return errDown }, err: errDown},
	{name: "panic", act: func(func()) error { panic(errPanic) }, err: errPanic},
}

// underWay is a call whose target has not answered.
type underWay struct {
	generation int
	began      time.Time
	answer     chan func(cancel func()) error
	result     chan error
}

// begin starts a call and returns when it waits for its target, or is over.
func begin(t *testing.T, p *resilience.Policy, m *model) underWay {
	t.Helper()
	c := underWay{generation: m.changes, began: time.Now(), answer: make(chan func(func()) error, 1), result: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		defer func() {
			if thrown, ok := recover().(error); ok {
				c.result <- thrown
			}
		}()
		_, err := resilience.Do(ctx, p, func(context.Context) (int, error) { return 1, (<-c.answer)(cancel) })
		c.result <- err
	}()
	synctest.Wait()
	return c
}

// patience of the breaker: what times out earlier teaches nothing.
const patience = 10 * time.Second

// follow does the same to a policy and to the model of its breaker.
func follow(t *testing.T, rt *rapid.T, cfg resilience.Breaker) {
	t.Helper()
	cfg.Recovery, cfg.Patience = 30*time.Second, patience
	cfg.Probes = rapid.IntRange(1, 3).Draw(rt, "probes")
	m := &model{cfg: cfg}
	var (
		told  []resilience.Change
		calls []underWay
		p     *resilience.Policy
	)
	p, err := resilience.New("user", resilience.Config{Timeout: time.Hour * 24, Retry: resilience.Retry{Attempts: 1}, Breaker: cfg},
		resilience.Hooks{Classify: classify, OnChange: func(c resilience.Change) {
			told = append(told, c)
			if now := p.Snapshot().State; now != c.To { // it may be used meanwhile
				rt.Errorf("the breaker is %v as it is told to be %v", now, c.To)
			}
		}})
	wantError(t, err, nil)
	defer func() {
		for _, c := range calls {
			c.answer <- func(func()) error { return nil }
			<-c.result
		}
	}()
	rt.Repeat(map[string]func(*rapid.T){
		"start": func(rt *rapid.T) {
			want := m.admits()
			c := begin(t, p, m)
			select {
			case err := <-c.result:
				if want || !errors.Is(err, resilience.ErrOpen) {
					rt.Fatalf("the call got %v, and the model admits %v", err, want)
				}
			default:
				calls = append(calls, c)
				if !want {
					rt.Fatal("the call got through, and the model refuses it")
				}
			}
		},
		"finish": func(rt *rapid.T) {
			if len(calls) == 0 {
				return // no call is under way
			}
			i := rapid.IntRange(0, len(calls)-1).Draw(rt, "call")
			n := rapid.IntRange(0, len(endings)-1).Draw(rt, "ending")
			c, how := calls[i], endings[n]
			calls = append(calls[:i], calls[i+1:]...)
			teaches := how.teaches
			if time.Since(c.began) < patience {
				teaches = how.soon
			}
			m.ends(c.generation, teaches, how.err)
			c.answer <- how.act
			if err := <-c.result; !errors.Is(err, how.err) {
				rt.Fatalf("%s: the call got %v, want %v", how.name, err, how.err)
			}
		},
		"wait": func(rt *rapid.T) {
			pass(rapid.SampledFrom([]time.Duration{time.Millisecond, 2 * time.Second, 15 * time.Second, 30 * time.Second}).Draw(rt, "time"))
		},
		"": func(rt *rapid.T) {
			s := p.Snapshot()
			if s.State != m.state || m.changes > 0 && !s.Since.Equal(m.changed) {
				rt.Fatalf("the breaker is %v since %v, and the model %v since %v", s.State, s.Since, m.state, m.changed)
			}
			if !slices.EqualFunc(told, m.told, sameChange) {
				rt.Fatalf("the changes were %v, and those of the model %v", told, m.told)
			}
		},
	})
}

func sameChange(a, b resilience.Change) bool {
	return a.Policy == b.Policy && a.From == b.From && a.To == b.To && a.At.Equal(b.At) && a.Cause == b.Cause //nolint:errorlint // the same and not one like it
}
