package resilience_test

import (
	"context"
	"errors"
	"math"
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
}

type result struct {
	at time.Time
	ok bool
}

func (m *model) become(s resilience.State) {
	m.state, m.changes, m.changed, m.results, m.underWay = s, m.changes+1, time.Now(), nil, 0
}

func (m *model) admits() bool {
	if m.state == resilience.Open && time.Since(m.changed) >= m.cfg.Recovery {
		m.become(resilience.HalfOpen)
	}
	ok := m.state == resilience.Closed || m.state == resilience.HalfOpen && m.underWay < m.cfg.Probes
	if ok {
		m.underWay++
	}
	return ok
}

func (m *model) ends(generation int, said error) {
	if generation != m.changes {
		return
	}
	m.underWay--
	outcome := classify(said).Outcome
	if said != nil && outcome == resilience.Ignored {
		return
	}
	m.results = append(m.results, result{time.Now(), said == nil || outcome == resilience.Answered || outcome == resilience.Busy})
	switch {
	case m.state == resilience.HalfOpen && !m.results[len(m.results)-1].ok, m.state == resilience.Closed && m.tooMany():
		m.become(resilience.Open)
	case m.state == resilience.HalfOpen && len(m.results) == m.cfg.Probes:
		m.become(resilience.Closed)
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

// follow does the same to a policy and to the model of its breaker.
func follow(t *testing.T, rt *rapid.T, cfg resilience.Breaker) {
	t.Helper()
	cfg.Recovery = 30 * time.Second
	cfg.Probes = rapid.IntRange(1, 3).Draw(rt, "probes")
	p := newPolicy(t, resilience.Config{Timeout: time.Hour * 24, Retry: resilience.Retry{Attempts: 1}, Breaker: cfg})
	m := &model{cfg: cfg}
	type call struct {
		pending
		generation int
	}
	var calls []call
	defer func() {
		for _, c := range calls {
			_ = c.finish(nil)
		}
	}()
	rt.Repeat(map[string]func(*rapid.T){
		"start": func(rt *rapid.T) {
			want := m.admits()
			c := start(t.Context(), p)
			select {
			case err := <-c.result:
				if want || !errors.Is(err, resilience.ErrOpen) {
					rt.Fatalf("the call got %v, and the model admits %v", err, want)
				}
			default:
				calls = append(calls, call{c, m.changes})
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
			said := rapid.SampledFrom([]error{nil, errDown, errDown, errGone, errNotFound, errBusy, context.Canceled}).Draw(rt, "said")
			c := calls[i]
			calls = append(calls[:i], calls[i+1:]...)
			m.ends(c.generation, said)
			if err := c.finish(said); !errors.Is(err, said) {
				rt.Fatalf("the call got %v, and the target said %v", err, said)
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
		},
	})
}
