package resilience

import (
	"sync/atomic"
	"time"
)

// Snapshot is what a policy looks like at one moment. The counts are of this process
// and since its start; they are read one after another, so their sums may be off by
// what happened meanwhile.
type Snapshot struct {
	Policy     string
	State      State         // Closed when there is no breaker
	Since      time.Time     // of the state; zero when there is no breaker
	RetryAfter time.Duration // until an open breaker lets a probe through, else 0
	Changes    [3]uint64     // how often the breaker changed to each State
	Counts     Counts
}

// Counts are numbers of attempts.
type Counts struct {
	Answered uint64 // by the target, also with a no; what it was too busy for is here as well
	Failed   uint64
	Ignored  uint64 // nothing was learned
	Repeated uint64 // those of all the above that were repeats
	Unpaid   uint64 // repeats that the budget did not allow
	Open     uint64 // refused by the breaker
	Full     uint64 // refused by the bulkhead
	Limited  uint64 // refused by the rate limit
}

// Snapshot returns the state of p, which it shares with [Policy.Idempotent].
func (p *Policy) Snapshot() Snapshot {
	s := Snapshot{Policy: p.name, Counts: p.counts.read()}
	if p.breaker != nil {
		p.breaker.look(&s)
	}
	return s
}

type counters struct {
	answered, failed, ignored, repeated, unpaid, open, full, limited atomic.Uint64
}

func (c *counters) attempt(outcome Outcome) {
	switch outcome {
	case Answered, Busy:
		c.answered.Add(1)
	case Ignored:
		c.ignored.Add(1)
	default:
		c.failed.Add(1)
	}
}

func (c *counters) read() Counts {
	return Counts{
		Answered: c.answered.Load(), Failed: c.failed.Load(), Ignored: c.ignored.Load(),
		Repeated: c.repeated.Load(), Unpaid: c.unpaid.Load(),
		Open: c.open.Load(), Full: c.full.Load(), Limited: c.limited.Load(),
	}
}
