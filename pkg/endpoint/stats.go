package endpoint

import "sync/atomic"

// stats counts what micro can't, since it sees only the hand-over to a lane.
type stats struct {
	requests, errors, refused, cancelled, nanoseconds atomic.Int64
}

// Stats is the data field of an endpoint in `nats micro stats`. The counters beside
// it are micro's own: they know when a request was handed over, not when it was
// answered.
type Stats struct {
	Requests   int64 `json:"requests"`   // answered, with success or not
	Errors     int64 `json:"errors"`     // answered internal, unavailable or deadline
	Refused    int64 `json:"refused"`    // turned away because the queue was full
	Cancelled  int64 `json:"cancelled"`  // not answered because the caller had gone
	Unfinished int   `json:"unfinished"` // running or queued now
	AverageNS  int64 `json:"average_ns"` // from arrival to answer
}

func (l *lane) snapshot() Stats {
	s := Stats{
		Requests: l.stats.requests.Load(), Errors: l.stats.errors.Load(), Refused: l.stats.refused.Load(),
		Cancelled: l.stats.cancelled.Load(), Unfinished: l.unfinished(),
	}
	if s.Requests > 0 {
		s.AverageNS = l.stats.nanoseconds.Load() / s.Requests
	}
	return s
}
