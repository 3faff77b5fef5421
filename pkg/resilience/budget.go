package resilience

import (
	"math"
	"sync/atomic"
)

// budget lets repeats be a share of the calls plus a reserve. Each call puts in a
// share of a token, each repeat takes a whole one, and no more than the reserve is kept.
type budget struct {
	share, full int64 // in parts of a token
	left        atomic.Int64
}

const token = 1_000_000 // parts

func newBudget(cfg Retry) *budget {
	b := &budget{
		share: int64(math.Round(cfg.Budget * token)),
		full:  int64(cfg.Reserve) * token,
	}
	b.left.Store(b.full)
	return b
}

// deposit is what a call puts in.
func (b *budget) deposit() {
	for left := b.left.Load(); left < b.full; left = b.left.Load() {
		if b.left.CompareAndSwap(left, min(left+b.share, b.full)) {
			return
		}
	}
}

// take pays for a repeat, or returns false.
func (b *budget) take() bool {
	for left := b.left.Load(); left >= token; left = b.left.Load() {
		if b.left.CompareAndSwap(left, left-token) {
			return true
		}
	}
	return false
}
