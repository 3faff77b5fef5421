package projection

import (
	"sync"
	"time"
)

// paceWindow is how much of the past a pace is taken over.
const paceWindow = 5 * time.Second

// pace measures how many events a second are folded.
type pace struct {
	mu    sync.Mutex
	marks []mark // within the window, oldest first
	total uint64
}

type mark struct {
	at    time.Time
	total uint64
}

// add notes that more events are stored.
func (p *pace) add(events int, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += uint64(events)
	// A mark a tenth of the window, so that they stay few.
	if n := len(p.marks); n > 0 && at.Sub(p.marks[n-1].at) < paceWindow/10 {
		return
	}
	p.marks = append(p.marks, mark{at: at, total: p.total})
	for len(p.marks) > 1 && at.Sub(p.marks[0].at) > paceWindow {
		p.marks = p.marks[1:]
	}
}

// now returns the pace, 0 when it is not known or nothing moves.
func (p *pace) now() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.marks) == 0 {
		return 0
	}
	first, took := p.marks[0], time.Since(p.marks[0].at)
	if took < paceWindow/10 || took > 2*paceWindow {
		return 0
	}
	return float64(p.total-first.total) / took.Seconds()
}
