package bus

import (
	"time"

	"golang.org/x/time/rate"
)

// pace keeps the attempts of a consumer below its group's rate. A nil pace allows
// everything. Guarded by the consumer's mutex.
type pace struct {
	limiter *rate.Limiter
	paid    bool // for the attempt that begins next
	until   time.Time
	resume  *time.Timer // calls the consumer when the wait is over
}

func newPace(g Group, resume func()) *pace {
	if g.Rate <= 0 {
		return nil
	}
	p := &pace{limiter: rate.NewLimiter(rate.Limit(g.Rate), g.Burst), resume: time.AfterFunc(time.Hour, resume)}
	p.resume.Stop()
	return p
}

// allows reports whether an attempt may begin now. If not, resume is called when one
// may.
func (p *pace) allows() bool {
	if p == nil {
		return true
	}
	now := time.Now()
	if !p.paid {
		p.until = now.Add(p.limiter.ReserveN(now, 1).DelayFrom(now))
		p.paid = true
	}
	wait := p.until.Sub(now)
	if wait > 0 {
		p.resume.Reset(wait)
	}
	return wait <= 0
}

// begun says that the attempt that was allowed has begun.
func (p *pace) begun() {
	if p != nil {
		p.paid = false
	}
}

func (p *pace) stop() {
	if p != nil {
		p.resume.Stop()
	}
}
