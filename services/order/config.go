package order

import (
	"fmt"
	"time"

	"sluice/pkg/config"
)

const (
	shortestPending = time.Second
	longestPending  = 365 * 24 * time.Hour
)

// settings are what the configuration says in [order].
type settings struct {
	PendingTimeout time.Duration `doc:"How long an order may stay pending before it is cancelled, from 1s to a year; 0s is for ever. It holds for orders placed since it was set."`
}

// Validate reports what makes no sense.
func (s settings) Validate() error {
	if s.PendingTimeout != 0 && (s.PendingTimeout < shortestPending || s.PendingTimeout > longestPending) {
		return config.At(fmt.Errorf("%s is not from %s to %s", s.PendingTimeout, shortestPending, longestPending), "pending_timeout")
	}
	return nil
}
