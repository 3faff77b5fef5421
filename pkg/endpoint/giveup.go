package endpoint

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// The subjects on which every instance of a service hears of the requests that are under
// way, svc.order.requests.cancel. They have one token more than those of its endpoints.
// Nobody but the caller and the service knows a reply subject.
const (
	subjectPrefix = "svc."
	verbCancel    = "cancel" // the body is the reply subject of a request
	verbCredit    = "credit" // the same, a space, and how many messages of the stream were read
)

func requestsSubject(service, verb string) string {
	return subjectPrefix + service + ".requests." + verb
}

// giveUp tells the service of subject that nobody waits for the reply any more, when that
// is because the caller was cancelled: of its deadline the service knows. Where that
// can't be sent, the deadline ends the work.
func (c *Caller) giveUp(subject, reply string, err error) {
	if errors.Is(err, context.Canceled) {
		c.tell(subject, verbCancel, reply)
	}
}

// tell says something about a request to the service of subject.
func (c *Caller) tell(subject, verb, text string) {
	name, ok := strings.CutPrefix(subject, subjectPrefix)
	if !ok || !c.nc.IsConnected() {
		return
	}
	service, _, _ := strings.Cut(name, ".")
	_ = c.nc.Publish(requestsSubject(service, verb), []byte(text)) // best effort, as giveUp says
}

// hear takes what callers tell of their requests.
func (s *Server) hear(m *nats.Msg) {
	if len(m.Data) > longestWord {
		return
	}
	reply, count, _ := strings.Cut(string(m.Data), " ")
	if reply == "" {
		return
	}
	switch m.Subject {
	case requestsSubject(s.cfg.Name, verbCancel):
		s.giveUp(reply)
	case requestsSubject(s.cfg.Name, verbCredit):
		if n, err := strconv.ParseUint(count, 10, 63); err == nil {
			s.credit(reply, n)
		}
	}
}

// longestWord bounds what is heard. Reply subjects are shorter.
const longestWord = 256

// credit notes how many messages of a stream its caller has read.
func (s *Server) credit(reply string, n uint64) {
	for _, l := range s.lanes {
		if l.streaming && l.credit(reply, n) {
			return
		}
	}
}

// giveUp stops the work on the request with that reply subject, which its caller does not
// wait for any more. Another instance may have it, or nobody: then nothing happens. But it
// is remembered for a while, since the request may come behind.
func (s *Server) giveUp(reply string) {
	s.early.add(reply, time.Now())
	for _, l := range s.lanes {
		if l.giveUp(reply) {
			return
		}
	}
}

// early holds the reply subjects of requests that were given up and have not been seen.
// What comes first is a matter of luck, since they arrive on different subscriptions.
type early struct {
	until atomic.Int64 // when the last is forgotten, in nanoseconds

	mu      sync.Mutex
	replies [64]string
	next    int
}

// remembered is how long a request may be behind the word that it was given up.
const remembered = time.Second

func (e *early) add(reply string, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.replies[e.next] = reply
	e.next = (e.next + 1) % len(e.replies)
	e.until.Store(now.Add(remembered).UnixNano())
}

// gaveUp reports whether a request that arrives now was given up before.
func (e *early) gaveUp(reply string, now time.Time) bool {
	if e.until.Load() < now.UnixNano() || reply == "" { // which is nobody's
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.replies[:], reply)
}
