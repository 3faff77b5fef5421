package main

import (
	"fmt"
	"slices"
	"strings"

	"sluice/streams"
)

// kept are the streams of a backup, in the order in which they are taken.
//
// First how far groups of handlers are: what they do from then on they do again after a
// restore. Then what is taken away when it is done with, so that what is missing there
// has left its traces in a history that is taken later. Then the histories, those of
// effects after those of causes, and what the histories count on after them.
var kept = []string{
	bucket(streams.BucketReactions),
	streams.DeadLetters,
	streams.UserIntake.Stream,
	streams.OrderIntake.Stream,
	streams.OrderDue.Stream,
	streams.Orders.Name,
	streams.Users.Name,
	streams.Services.Name,
	streams.Alerts.Name,
	streams.Notifications.Name,
	bucket(streams.BucketUserKeys),
	bucket(streams.BucketPasswords),
	bucket(streams.BucketSessions),
	bucket(streams.BucketLoginAttempts),
	bucket(streams.BucketSigningKeys), // before the public keys, so that each is there
	bucket(streams.BucketKeys),
	bucket(streams.BucketSchemas),
}

// derived are the streams that are made of the others; Sluice makes them again. Read
// models that were rebuilt have more of the same names, such as KV_orders-g1.
var derived = []string{
	bucket(streams.BucketUsers),
	bucket(streams.BucketOrders),
	bucket(streams.BucketOrderUsers),
	bucket(streams.BucketNotifications),
	bucket(streams.BucketNotificationUsers),
	bucket(streams.BucketServices),
	bucket(streams.BucketAlerts),
	bucket(streams.BucketServiceChecks), // when the registry checked last: it checks again
	bucket(streams.BucketOrderSnapshots),
	bucket(streams.BucketServiceSnapshots),
}

// remembered are those of them that nothing checks against the history: an aggregate of
// a past that is no more could begin there.
var remembered = []string{
	bucket(streams.BucketOrderSnapshots),
	bucket(streams.BucketServiceSnapshots),
	bucket(streams.BucketServiceChecks),
}

var keysBucket, schemasBucket = bucket(streams.BucketKeys), bucket(streams.BucketSchemas)

// unchanging are the streams whose messages do not go away by themselves. Elsewhere some
// have a time to live, which may be over when a backup is put back.
var unchanging = []string{
	streams.Users.Name, streams.Orders.Name, streams.Notifications.Name, streams.Services.Name, streams.Alerts.Name, streams.DeadLetters,
}

func bucket(name string) string { return "KV_" + name }

func isBucket(stream string) bool { return strings.HasPrefix(stream, "KV_") }

// isDerived reports whether a stream is one of these, or another generation of it.
func isDerived(stream string) bool {
	return slices.ContainsFunc(derived, func(name string) bool {
		rest, ok := strings.CutPrefix(stream, name)
		return ok && (rest == "" || strings.HasPrefix(rest, "-g") || strings.HasPrefix(rest, "-v"))
	})
}

// sort returns which of the server's streams are backed up, in order, and which are
// nothing that Sluice knows.
func sort(present []string) (ours, others []string, err error) {
	for _, name := range kept {
		if slices.Contains(present, name) {
			ours = append(ours, name)
		}
	}
	for _, name := range present {
		if !slices.Contains(kept, name) && !isDerived(name) {
			others = append(others, name)
		}
	}
	if len(ours) == 0 {
		return nil, nil, fmt.Errorf("the server has nothing of Sluice's, only %d other streams", len(present))
	}
	return ours, others, nil
}
