package main

import (
	"math"
	"slices"
	"time"
)

// sample is the figures of several rounds, or the durations within one.
type sample []float64

func (s sample) median() float64 { return s.quantile(0.5) }

// quantile returns the smallest value that at least the fraction q of all do not
// exceed. Between the two in the middle the median is their mean.
func (s sample) quantile(q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	if n := len(sorted); q == 0.5 && n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// perSecond is how many of n things that took d happen in a second.
func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }
