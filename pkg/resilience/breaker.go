package resilience

import (
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// breaker adds to that of failsafe-go what it leaves to its users: a result counts
// only in the state its call began in, and a call of which nothing was learned gives
// its permit back. All access to inner goes through mu.
type breaker struct {
	recovery time.Duration
	observe  func(Change)

	mu         sync.Mutex
	inner      circuitbreaker.CircuitBreaker[struct{}]
	state      State
	since      time.Time
	generation uint64 // counts the changes of state
	became     [states]uint64
	spare      int // permits of inner that were given back
	waiting    []Change
	delivering bool // one goroutine hands on what waits
}

func newBreaker(cfg Breaker, observe func(Change)) *breaker {
	building := circuitbreaker.NewBuilder[struct{}]().
		WithDelay(cfg.Recovery).
		WithSuccessThreshold(uint(cfg.Probes))
	if cfg.Window > 0 {
		building = building.WithFailureRateThreshold(cfg.Rate, uint(cfg.MinCalls), cfg.Window)
	} else {
		building = building.WithFailureThreshold(uint(cfg.Failures))
	}
	return &breaker{recovery: cfg.Recovery, observe: observe, inner: building.Build(), since: time.Now()}
}

// acquire asks for a permit. It returns the generation that the result belongs to,
// or false and when to come back.
func (b *breaker) acquire() (generation uint64, retryAfter time.Duration, ok bool) {
	b.mu.Lock()
	defer b.unlock()
	switch {
	case b.state == Closed:
		return b.generation, 0, true
	case b.spare > 0:
		b.spare--
		return b.generation, 0, true
	}
	ok = b.inner.TryAcquirePermit()
	b.follow(nil)
	return b.generation, b.inner.RemainingDelay(), ok
}

// settle gives the permit of generation back with what was learned, and by which
// error.
func (b *breaker) settle(generation uint64, outcome Outcome, cause error) {
	b.mu.Lock()
	defer b.unlock()
	if generation != b.generation {
		return
	}
	switch outcome {
	case Answered, Busy:
		b.inner.RecordSuccess()
	case Failed, NotTaken:
		b.inner.RecordFailure()
	default:
		if b.state == HalfOpen {
			b.spare++
		}
	}
	b.follow(cause)
}

// follow notes a change of the state of inner, and what opened it. The caller holds mu.
func (b *breaker) follow(cause error) {
	state := stateOf(b.inner.State())
	if state == b.state {
		return
	}
	if state != Open {
		cause = nil
	}
	now := time.Now()
	b.waiting = append(b.waiting, Change{From: b.state, To: state, At: now, Cause: cause})
	b.state, b.since, b.spare = state, now, 0
	b.generation++
	b.became[state]++
}

// unlock hands on the changes that were noted, in their order and while nobody holds
// mu, so that who observes may use the policy; then it leaves mu released.
func (b *breaker) unlock() {
	for len(b.waiting) > 0 && !b.delivering {
		next := b.waiting[0]
		b.waiting, b.delivering = b.waiting[1:], true
		b.mu.Unlock()
		b.observe(next)
		b.mu.Lock()
		b.delivering = false
	}
	b.mu.Unlock()
}

// look shows the state, since when, how often each came about, and when an open breaker
// lets a probe through.
func (b *breaker) look(s *Snapshot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.State, s.Since, s.Changes = b.state, b.since, b.became
	if b.state == Open {
		s.RetryAfter = max(0, b.recovery-time.Since(b.since))
	}
}
