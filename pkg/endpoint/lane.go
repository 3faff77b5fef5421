package endpoint

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// incoming is one request as NATS delivered it.
type incoming struct {
	reply   string
	header  nats.Header
	body    []byte
	arrived time.Time
}

// lane runs the requests of one endpoint: some at once, more in a queue, the rest
// refused. Its goroutines come with the load and go with it.
type lane struct {
	concurrency, limit int
	run                func(incoming)

	workers sync.WaitGroup
	mu      sync.Mutex
	running int
	queue   []incoming
	closed  bool

	stats stats
}

// offer takes m and returns at once, or returns false when the queue is full or the
// lane is closed.
func (l *lane) offer(m incoming) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return false
	case l.running < l.concurrency:
		l.running++
		l.workers.Go(func() { l.work(m) })
	case len(l.queue) < l.limit:
		l.queue = append(l.queue, m)
	default:
		return false
	}
	return true
}

func (l *lane) work(m incoming) {
	for more := true; more; m, more = l.next() {
		l.run(m)
	}
}

// next returns the oldest queued request, or gives up the worker's place.
func (l *lane) next() (incoming, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.running--
		l.queue = nil
		return incoming{}, false
	}
	m := l.queue[0]
	l.queue[0] = incoming{}
	l.queue = l.queue[1:]
	return m, true
}

// close makes the lane refuse requests; those it has taken go on.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// unfinished returns how many requests run or wait.
func (l *lane) unfinished() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running + len(l.queue)
}

// stats counts what micro can't, since it sees only the hand-over to a lane.
type stats struct {
	requests, errors, refused, nanoseconds atomic.Int64
}

// Stats is the data field of an endpoint in `nats micro stats`. The counters beside
// it are micro's own: they know when a request was handed over, not when it was
// answered.
type Stats struct {
	Requests   int64 `json:"requests"`   // answered, with success or not
	Errors     int64 `json:"errors"`     // answered internal, unavailable or deadline
	Refused    int64 `json:"refused"`    // turned away because the queue was full
	Unfinished int   `json:"unfinished"` // running or queued now
	AverageNS  int64 `json:"average_ns"` // from arrival to answer
}

func (l *lane) snapshot() Stats {
	s := Stats{
		Requests: l.stats.requests.Load(), Errors: l.stats.errors.Load(),
		Refused: l.stats.refused.Load(), Unfinished: l.unfinished(),
	}
	if s.Requests > 0 {
		s.AverageNS = l.stats.nanoseconds.Load() / s.Requests
	}
	return s
}
