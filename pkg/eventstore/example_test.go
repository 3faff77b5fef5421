package eventstore_test

import (
	"errors"
	"fmt"

	"sluice/pkg/eventstore"
)

// A stream has one subject for each event of each aggregate, and the settings that
// keep history safe.
func ExampleHistoryConfig() {
	seats := eventstore.Stream{Name: "SEATS", Entity: "seat"}
	config := eventstore.HistoryConfig(seats)
	fmt.Println(config.Name, config.Subjects, seats.Of("12a"))
	fmt.Println(eventstore.CheckConfig(seats, config))

	config.AllowRollup = true
	fmt.Println(eventstore.CheckConfig(seats, config))
	// Output:
	// SEATS [seat.*.* seat.*.*.*] seat.*.12a
	// <nil>
	// stream SEATS: rollup, message TTL, schedules or delete markers are on, so a publisher could wipe history
}

// What went wrong with an append tells what to do next.
func Example() {
	next := func(err error) string {
		var (
			conflict *eventstore.ConflictError
			taken    *eventstore.TakenError
		)
		switch {
		case errors.As(err, &conflict):
			return fmt.Sprintf("decide again at version %d", conflict.Tail.Version)
		case errors.As(err, &taken):
			return "ask for another " + taken.Claim
		case errors.Is(err, eventstore.ErrOutcomeUnknown):
			return "repeat the command with its id"
		default:
			return "give up"
		}
	}
	fmt.Println(next(&eventstore.ConflictError{Tail: eventstore.Tail{Version: 3}}))
	fmt.Println(next(&eventstore.TakenError{Claim: "email"}))
	fmt.Println(next(eventstore.ErrOutcomeUnknown))
	// Output:
	// decide again at version 3
	// ask for another email
	// repeat the command with its id
}
