// Package streams is what NATS is set up with: every stream, KV bucket and durable
// consumer of Sluice, one folder per owner, as the JSON files that the nats CLI
// takes too:
//
//	nats stream add USERS --config streams/user/USERS.json
//	nats consumer add USERS user-guard --config streams/user/USERS.user-guard.consumer.json
//
// A file names every setting that matters, so nothing is left to a server's
// defaults. <STREAM>.json is a stream, KV_<bucket>.json the stream behind a KV
// bucket, <STREAM>.<consumer>.consumer.json a durable consumer; its owner is the
// service that handles the messages, not the one that owns the stream.
//
// [Reconcile] brings a server in line with the files. It creates what is absent and
// widens what may be widened; whatever could lose messages or a consumer's position
// it refuses, and then changes nothing at all.
//
// DEADLETTERS and the intakes are bounded and discard new messages when full, so
// that a flood from outside cannot take the disk from history. A publisher into a
// full intake gets an error instead of an ack. A handler whose dead letter is not
// accepted holds its message, and the messages of the same key behind it, until
// there is room again: nothing is lost, and the handler's health says so.
//
// Buckets whose values decide something (sessions, passwords, leases, positions of handlers)
// have no direct get, so that they are read from their stream's leader: another replica may
// not have what was acknowledged a moment ago. Read models have it, and their readers know
// when that is not enough.
//
// TIMERS has no bound of its own, because a server only lets a stream with schedules
// discard its oldest messages when full, which here would be timers. Give the account
// a limit instead: then no timer is set until there is room, and its handler's health
// says so. What was due meanwhile comes after a restart of the server or a step-down
// of the stream's leader. Nobody but services should be permitted to publish on timer.>, as such a
// stream can be rolled up by whoever publishes to it.
package streams

import (
	"sluice/pkg/auth"
	"sluice/pkg/bus"
	"sluice/pkg/eventstore"
)

// Histories: the streams that hold the events of one kind of aggregate.
var (
	Users         = eventstore.Stream{Name: "USERS", Entity: "user"}
	Orders        = eventstore.Stream{Name: "ORDERS", Entity: "order"}
	Notifications = eventstore.Stream{Name: "NOTIFICATIONS", Entity: "notification"}
	Services      = eventstore.Stream{Name: "SERVICES", Entity: "service"}
	Alerts        = eventstore.Stream{Name: "ALERTS", Entity: "alert"} // the registry's, too
)

// KV buckets. Each but the last three belongs to one service, and nobody else reads it.
const (
	BucketUsers             = "users"              // read model of the user service
	BucketOrders            = "orders"             // read model of the order service
	BucketOrderSnapshots    = "order-snapshots"    // states of orders with long histories
	BucketOrderUsers        = "order-users"        // the order service's replica of users
	BucketNotifications     = "notifications"      // read model of the notification service
	BucketNotificationUsers = "notification-users" // the notification service's replica of users
	BucketServices          = "services"           // read model of the registry
	BucketServiceSnapshots  = "service-snapshots"  // states of services with long histories
	BucketServiceChecks     = "service-checks"     // when the registry checked which instance, and which replica checks
	BucketAlerts            = "alerts"             // the registry's read model of alerts that are raised
	BucketPasswords         = "passwords"          // the user service's password hashes
	BucketUserKeys          = "user-keys"          // what the user service keeps to itself
	BucketSigningKeys       = "signing-keys"       // private keys that sign the tokens of users
	BucketSessions          = "sessions"           // the user service's hashes of refresh tokens
	BucketLoginAttempts     = "login-attempts"     // how often who failed to log in
	BucketReactions         = bus.StateBucket      // what all services' groups of handlers must remember
	BucketKeys              = auth.Bucket          // public keys of all services, for everybody
	BucketSchemas           = "schemas"            // JSON Schemas of all services' events, for everybody
)

// DeadLetters is the name of the stream that keeps what handlers gave up on.
const DeadLetters = "DEADLETTERS"
