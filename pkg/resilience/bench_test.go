package resilience_test

import (
	"context"
	"testing"
	"time"

	"sluice/pkg/resilience"
)

// The whole chain around a function that does nothing, to be compared with a call over
// NATS: about 15 µs of processor time, which includes a deadline of its own.
func BenchmarkDo(b *testing.B) {
	limits := resilience.Config{
		Bulkhead:  resilience.Bulkhead{Limit: 100},
		RateLimit: resilience.RateLimit{PerSecond: 1e6, Burst: 1e6},
	}
	window := limits
	window.Breaker.Window = time.Minute
	for _, c := range []struct {
		name     string
		cfg      resilience.Config
		deadline time.Duration // of the caller, less than the policy's
	}{
		{"policy's deadline", limits, time.Hour},
		{"caller's deadline", limits, 4 * time.Second},
		{"window", window, 4 * time.Second},
	} {
		b.Run(c.name, func(b *testing.B) {
			p, err := resilience.New("user", c.cfg, resilience.Hooks{})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(b.Context(), c.deadline)
			defer cancel()
			b.ReportAllocs()
			for range b.N {
				if _, err := resilience.Do(ctx, p, answer); err != nil && p.Snapshot().Counts.Limited == 0 {
					b.Fatal(err)
				}
			}
		})
	}
}

func answer(context.Context) (int, error) { return 1, nil }
