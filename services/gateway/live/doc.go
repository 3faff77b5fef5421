// Package live streams events over HTTP as they are stored, as server-sent events:
//
//	GET /v1/events?subject=order.*.*&subject=user.created.*
//
//	id: ORDERS=1234,USERS=88
//	event: order.created
//	data: {"specversion":"1.0","type":"order.created",…,"position":"1234"}
//
// A subject is <entity>.<event or *>.<id or *>. The stream begins with what comes from
// then on. Each event carries, as its id, how far the reader has come in every stream
// it listens to; whoever comes back with that in Last-Event-ID (a header, or the query
// parameter last_event_id, which the header overrules) gets exactly what was missed:
// nothing is lost, nothing comes twice. What is passed over moves the id too, at each
// heartbeat. Each history is in its order; between two there is none. A stream that the
// id does not name begins with what comes from now on.
//
// # What is shown
//
// The source is the stream itself and not its lossy copy under feed. Only genuine
// events are shown, see [sluice/pkg/eventstore.Reader], and what was erased is not. An
// event that this program is too old to understand is passed on as it is.
//
// Operators and services see everything. Others name the aggregates they listen to, and
// the owning service is asked, in their name, whether it shows them. The token is
// looked at again before anything is sent.
//
// # How it ends
//
// A last event says why the gateway closes a stream:
//
//	event: end
//	data: {"reason":"token","detail":"…"}
//
// The reasons are token (it is no good any more), shutdown (come back, to another
// gateway) and gone (the stream was purged, deleted or put back, so that what comes
// next may not all be there). A reader that is too slow is cut off without a word. While NATS is away streams
// stay open, a comment says so, and they go on by themselves.
//
// # How many
//
// However many listen, each history is read by one consumer, and each event is checked
// and encoded once. Who is behind reads the stream until it has caught up: through a
// consumer of its own, of which there are eight a history at most, or, when it names
// aggregates, by loading those alone.
package live
