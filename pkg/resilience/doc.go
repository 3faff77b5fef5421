// Package resilience protects a caller from a target that is slow, broken or gone,
// and the target from its callers. It knows no transport: what an error says of the
// target is told by a function, [Hooks].Classify.
//
// A [Policy] guards the calls of one target:
//
//	users, err := resilience.New("user", resilience.Config{Timeout: 2 * time.Second}, hooks)
//	…
//	user, err := resilience.Do(ctx, users.Idempotent(), func(ctx context.Context) (User, error) {
//		return fetch(ctx, id)
//	})
//
// A [Set] holds the policies of a program by name. It looks for "user.get", then for
// "user", then for "default", and gives every target a breaker of its own.
//
// # What a call goes through
//
//	timeout ─ retry ┬ bulkhead ─ breaker ─ rate limit ─ attempt timeout ─ the function
//	                └ again, after a pause
//
// The timeout holds for the call with its repeats and its pauses. Each attempt takes
// a place in the bulkhead, asks the breaker and takes a token of the rate limit; when
// one of them says no, the call is refused with a [RefusedError], which is [ErrFull],
// [ErrOpen] or [ErrLimited], and the function is not run. A refusal is never
// repeated. [DoOr] has an answer at hand for refused and failed calls.
//
// # What an error means
//
// Every error has an [Outcome]. Only [Failed] and [NotTaken] count against the
// breaker. A target that says "not found" or "invalid" has [Answered]: it is well. What
// was cancelled is [Ignored] without asking the classifier, and so is what ran out of
// time because its caller gave hardly any.
//
// # The breaker
//
// Closed, it lets everything through and counts; after too many failures it opens.
// Open, it refuses everything for the recovery time. Then it is half-open: a bounded
// number of probes may pass at once. As many successes close it, one failure opens it
// again, and a probe of which nothing was learned gives its place to the next. A
// result belongs to the state in which its call began: one that comes after the state
// changed counts for nothing. The call that opens the breaker still returns its
// own error.
//
// # Repeats
//
// A call is repeated when the target certainly did not take it, or when it failed and
// is idempotent. The pauses grow exponentially with full jitter, respect what the
// target asked for, and never go beyond the deadline: a repeat that would come too late
// is not waited for. A budget keeps repeats to a share of the calls plus a small
// constant, so that a target that is down never gets a multiple of its load.
//
// # Settings and metrics
//
// A [Config] may lie over another ([Config.Over]), so that a file changes some of what
// the code has chosen; package app does that with the sections [policies]. [Set.Measure]
// makes metrics of breakers, attempts, repeats and refusals; [Set.Snapshot] shows the same
// at one moment.
//
// # What is not promised
//
// State is kept per process: each replica learns by itself that a target is down. A
// function that does not heed its context is not interrupted: it keeps its place, and
// as a probe it keeps the breaker half-open until it returns.
package resilience
