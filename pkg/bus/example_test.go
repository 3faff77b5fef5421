package bus_test

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/bus"
)

// A dead letter keeps the message as it was, beside the reason it was given up.
func ExampleParseDeadLetter() {
	header := nats.Header{
		"Dead-Letter-Id":       {"5d2f0d9e-0c5e-8e0f-9a50-6d3f3a1b6c11"},
		"Dead-Letter-Consumer": {"notification"},
		"Dead-Letter-Reason":   {"attempts"},
		"Dead-Letter-Error":    {"send welcome: mailbox unavailable"},
		"Dead-Letter-Attempts": {"8"},
		"Dead-Letter-Stream":   {"USERS"},
		"Dead-Letter-Sequence": {"42"},
		"Dead-Letter-Subject":  {"user.created.u-1"},
		"Original-ce-type":     {"user.created"},
	}
	letter, err := bus.ParseDeadLetter(header, []byte(`{"user_id":"u-1"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s gave up %s %d after %d attempts: %s\n", letter.Consumer, letter.Stream, letter.Sequence, letter.Attempts, letter.Error)
	fmt.Println(letter.Header.Get("ce-type"), string(letter.Data))
	// Output:
	// notification gave up USERS 42 after 8 attempts: send welcome: mailbox unavailable
	// user.created {"user_id":"u-1"}
}

// A handler's error is its instruction.
func Example() {
	mailboxFull := fmt.Errorf("mailbox full")
	handle := func(attempt int) error {
		switch attempt {
		case 1:
			return mailboxFull // again, after the group's backoff
		case 2:
			return bus.RetryAfter(time.Minute, mailboxFull) // again, in a minute
		case 3:
			return bus.Drop(mailboxFull) // to the dead letters
		default:
			return nil // done
		}
	}
	for attempt := 1; attempt <= 4; attempt++ {
		fmt.Println(handle(attempt))
	}
	// Output:
	// mailbox full
	// mailbox full
	// mailbox full
	// <nil>
}
