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
//     error, and so is an attempt that the end of the process cut off: a message that
//     ends the process each time becomes a dead letter as well.
//   - [Drop] makes it a dead letter at once.
//
// A dead letter is stored, and confirmed, before its message is given up, so nothing
// vanishes; while it cannot be stored, the message waits.
//
// # Redriving
//
// A [Letterbox] finds dead letters. Once the cause is gone it has a message handled
// anew, by the group that gave it up and by no other, if the group takes redriven
// letters ([Group.Redrive]); or it discards the letter. A redriven message is handled
// at least once and out of the order of its lane; its letter stays until that has
// succeeded, and is renewed, with its history, when it has not.
//
// # Order
//
// Messages with one key (by default the aggregate's id) form a lane: they are
// handled in stream order, one at a time. Lanes are independent: one that waits for
// its backoff occupies no handler and delays nobody else, until the consumer's
// MaxAckPending is filled with what waits in it. A message stays unacknowledged while
// it waits, and the server is told in time that it is still in hand, so a handler may
// take longer than the consumer's AckWait. [Group.Order] has other arrangements: what
// comes after a failing message may go on without it, or not go on at all when it has
// become a dead letter, or order may not matter in the first place.
//
// After a start, after lost deliveries and after a take-over, some messages are
// unaccounted for: a predecessor had them, or they were lost on the way. Then
// nothing is handled before they have come back or are settled, because they may
// belong before those at hand. After a crash that takes up to AckWait, so choose it
// short; after a [Consumer.Stop] it takes no time.
//
// # Timers
//
// [At] stores an event that comes to its group when its time has come, and
// [CancelTimer] calls it back. The group is one of the stream [TimerStream]; its
// consumer filters on timer.due.<entity>.*, and its handlers, made with [On] as all
// others, may have to do with any type of event of that entity. A timer is a hint to
// look: whether there is anything to do is for the handler to find out.
//
// # Several processes
//
// A group in order has one active process; others stand by, and one of them takes over
// when the active one stops or dies. That is the server's doing, where the durable
// consumer says so: priority policy pinned_client with one group, and a timeout of a
// few seconds, which is how long a take-over takes after a crash, beside AckWait. In a
// group of order [Any] all processes share the work, and the consumer must not be
// pinned.
//
// # Trouble
//
// Handlers come back by themselves after a lost connection and the restart of a server
// and go on where they were. How far a group is, is recorded every few seconds and when
// it stops, in [StateBucket]. So a durable consumer that was removed, or made anew from
// its declaration, is moved to where the group was: nothing is skipped, and of what
// happened since the record was made, some messages may be handled again. A stream of
// the same name that is not the same stream stops the group with [ErrPosition], as does
// one that was restored to a point before the group's position (see package timeline);
// messages that were removed before the group got to them are told; [Consumer.Health]
// says both.
//
// To handle messages again on purpose, reset the consumer to the first of them; or
// remove it and, from the bucket, the key position.<stream>.<group>.
//
// # What is not promised
//
// Exactly once for the outside world. A handler that finished just before a crash runs
// again: up to a burst of acknowledgements may be on their way. [Handler.Recorded] lets
// it see that. Order, when a process of a group that was thought dead goes on: its
// handlers and those of its successor may run at the same time. What they append to an
// event store is safe from that, by the versions it expects.
package bus
