package bus

import (
	"container/heap"
	"slices"
	"time"
)

// item is a message in hand: delivered and not settled.
type item struct {
	delivery *delivery // the latest; earlier ones differ in the reply
	message  Message
	received time.Time
	prior    int  // attempts that were made before this process had it
	half     int  // of the group's attempts, when it came
	suspect  bool // it may have ended processes: see suspect.go

	running   bool      // a handler has it, or its dead letter is being stored
	notBefore time.Time // end of its backoff; zero: none
	failures  int
	firstAt   time.Time // of the failures
	lastError error

	first delivery // room for the delivery that is nearly always the only one
}

func (it *item) sequence() uint64 { return it.message.Sequence }

// phase is where a lane stands. A lane is in one place at a time.
type phase int

const (
	resting phase = iota // in none of the places below
	queued               // in the queue of lanes that a worker may take
	busy                 // a worker has a message of it
	waiting              // until its backoff ends, in the order of due
	gated                // until the gate opens or its floor moves
	aside                // until no other suspect runs
)

// lane is the queue of one key, in stream order.
type lane struct {
	key   string
	phase phase
	queue []*item
	due   time.Time // while waiting
	index int       // among those waiting
}

// insert puts it where its sequence belongs: nearly always last, but redeliveries
// come in any order.
func (l *lane) insert(it *item) {
	at := len(l.queue)
	for at > 0 && l.queue[at-1].sequence() > it.sequence() {
		at--
	}
	l.queue = slices.Insert(l.queue, at, it)
}

func (l *lane) remove(it *item) {
	if at := slices.Index(l.queue, it); at >= 0 {
		l.queue = slices.Delete(l.queue, at, at+1)
	}
}

// next returns the message of the lane that is to be handled next, and how long its
// backoff lasts. The lane is not empty.
func (l *lane) next(order Order) (*item, time.Duration) {
	first := l.queue[0]
	if first.notBefore.IsZero() {
		return first, 0
	}
	now := time.Now()
	if order != GoOn {
		return first, first.notBefore.Sub(now)
	}
	for _, it := range l.queue {
		if !it.notBefore.After(now) {
			return it, 0
		}
		if it.notBefore.Before(first.notBefore) {
			first = it
		}
	}
	return first, first.notBefore.Sub(now)
}

// agenda holds the lanes that wait for a backoff, the next one first.
type agenda []*lane

// Len is for package heap.
func (a *agenda) Len() int { return len(*a) }

// Less is for package heap.
func (a *agenda) Less(i, j int) bool { return (*a)[i].due.Before((*a)[j].due) }

// Swap is for package heap.
func (a *agenda) Swap(i, j int) {
	lanes := *a
	lanes[i], lanes[j] = lanes[j], lanes[i]
	lanes[i].index, lanes[j].index = i, j
}

// Push is for package heap.
func (a *agenda) Push(x any) {
	l := x.(*lane) //nolint:errcheck,forcetypeassert // add pushes nothing else
	l.index = len(*a)
	*a = append(*a, l)
}

// Pop is for package heap.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	l := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	return l
}

func (a *agenda) add(l *lane)    { heap.Push(a, l) }
func (a *agenda) remove(l *lane) { heap.Remove(a, l.index) }

// queue is a first-in, first-out queue of lanes.
type queue struct {
	lanes []*lane
	head  int
}

func (q *queue) empty() bool { return q.head == len(q.lanes) }

func (q *queue) push(l *lane) {
	if q.head > 0 && len(q.lanes) == cap(q.lanes) {
		n := copy(q.lanes, q.lanes[q.head:])
		clear(q.lanes[n:])
		q.lanes, q.head = q.lanes[:n], 0
	}
	q.lanes = append(q.lanes, l)
}

func (q *queue) pop() *lane {
	l := q.lanes[q.head]
	q.lanes[q.head] = nil
	q.head++
	if q.empty() {
		q.lanes, q.head = q.lanes[:0], 0
	}
	return l
}
