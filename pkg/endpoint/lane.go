package endpoint

import (
	"slices"
	"sync"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// lane runs the requests of one endpoint: some at once, more in a queue, the rest
// refused. Its workers come with the load, and most of them go with it.
type lane struct {
	concurrency, limit int
	streaming          bool
	run                func(*request)

	workers sync.WaitGroup
	stats   stats

	span     []trace.SpanStartOption // of its requests
	outcomes outcomes
	observed metric.ObserveOption

	mu      sync.Mutex
	queue   []*request
	running []*request
	waking  bool            // a worker is on its way to the queue
	idle    []chan struct{} // of workers that wait to be woken
	closed  bool
}

// keptIdle is how many workers of a lane stay when there is nothing to do. One that is
// there is cheaper than a new one, whose stack has to grow first.
const keptIdle = 16

// offer takes r and returns at once, or returns false when the queue is full or the
// lane is closed.
func (l *lane) offer(r *request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.running)+len(l.queue) >= l.concurrency+l.limit {
		return false
	}
	l.queue = append(l.queue, r)
	l.wake()
	return true
}

// wake sees to it that a worker is on its way when a request waits and may run. That is
// one worker at a time, which wakes the next when it finds more than it takes: requests
// that are done in no time do not cost a wake-up each, and their replies leave together.
// The caller holds mu.
func (l *lane) wake() {
	if l.waking || len(l.queue) == 0 || len(l.running) >= l.concurrency {
		return
	}
	l.waking = true
	if last := len(l.idle) - 1; last >= 0 {
		l.idle[last] <- struct{}{}
		l.idle = l.idle[:last]
		return
	}
	l.workers.Go(l.work)
}

func (l *lane) work() {
	awake := make(chan struct{}, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		l.waking = false
		for len(l.queue) > 0 && len(l.running) < l.concurrency {
			r := l.begin()
			l.wake()
			l.mu.Unlock()
			l.run(r)
			l.mu.Lock()
			l.end(r)
		}
		if l.closed || len(l.idle) == keptIdle {
			return
		}
		l.idle = append(l.idle, awake)
		l.mu.Unlock()
		<-awake
		l.mu.Lock()
	}
}

// begin moves the oldest request from the queue to those that run. The caller holds mu.
func (l *lane) begin() *request {
	r := l.queue[0]
	l.queue = slices.Delete(l.queue, 0, 1)
	r.place = len(l.running)
	l.running = append(l.running, r)
	return r
}

// end removes r from those that run. The caller holds mu.
func (l *lane) end(r *request) {
	last := len(l.running) - 1
	moved := l.running[last]
	l.running[r.place], moved.place = moved, r.place
	l.running[last] = nil
	l.running = l.running[:last]
}

// giveUp ends the request with that reply subject, whose caller does not wait for it any
// more: one that runs notices by its context, one that waits never runs.
func (l *lane) giveUp(reply string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	is := func(r *request) bool { return r.reply == reply }
	if i := slices.IndexFunc(l.running, is); i >= 0 {
		l.running[i].gaveUp.Store(true)
		l.running[i].cancel()
		return true
	}
	if i := slices.IndexFunc(l.queue, is); i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
		l.stats.cancelled.Add(1)
		return true
	}
	return false
}

// credit notes how many messages of a stream its caller has read.
func (l *lane) credit(reply string, n uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.running, func(r *request) bool { return r.reply == reply })
	if i < 0 {
		return false
	}
	l.running[i].out.took(n)
	return true
}

// abandon ends the contexts of all requests.
func (l *lane) abandon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range slices.Concat(l.running, l.queue) {
		r.cancel()
	}
}

// close makes the lane refuse requests; those it has taken go on.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, awake := range l.idle {
		awake <- struct{}{}
	}
	l.idle = nil
}

// occupied returns how many requests run and how many wait.
func (l *lane) occupied() (running, queued int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.running), len(l.queue)
}

// unfinished returns how many requests run or wait.
func (l *lane) unfinished() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.running) + len(l.queue)
}
