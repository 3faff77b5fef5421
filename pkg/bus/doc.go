// Package bus runs handlers over a durable consumer of a stream: at least once, in
// order per aggregate, with retries, and with a dead letter for what cannot be
// handled.
//
//	reactions := bus.Consume(js, streams.UserReactions, bus.Config{Read: users.Reader().Read},
//		bus.On(func(ctx context.Context, e event.Of[userapi.Created]) error {
//			return mail.Welcome(ctx, e.Data.Email)
//		}))
//	err := reactions.Start(ctx)
//	…
//	err = reactions.Stop(ctx)
//
// # What a handler's result means
//
//   - nil acknowledges the message.
//   - An error retries it after a backoff, up to [Group.MaxAttempts] times; the last
//     failure makes it a dead letter. [RetryAfter] chooses the wait. A panic is an
//     error.
//   - [Drop] makes it a dead letter at once.
//
// A dead letter is stored, and confirmed, before its message is given up, so nothing
// vanishes; while it cannot be stored, the message waits.
//
// # Order
//
// Messages with one key (by default the aggregate's id) form a lane: they are
// handled in stream order, one at a time. Lanes are independent: one that waits for
// its backoff occupies no handler and delays nobody else, until the consumer's
// MaxAckPending is filled with what waits in it. A message stays unacknowledged while
// it waits, and the server is told in time that it is still in hand, so a handler may
// take longer than the consumer's AckWait.
//
// After a start, after lost deliveries and after a take-over, some messages are
// unaccounted for: a predecessor had them, or they were lost on the way. Then
// nothing is handled before they have come back or are settled, because they may
// belong before those at hand. After a crash that takes up to AckWait, so choose it
// short; after a [Consumer.Stop] it takes no time.
//
// # What is not promised
//
// Exactly once for the outside world. A handler that finished just before a crash
// runs again. Order between processes that read from one consumer at the same time:
// run one instance of a group, or pin the consumer to one client (priority policy
// pinned_client), which Sluice then joins.
package bus
