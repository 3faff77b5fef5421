package aggregate_test

import (
	"errors"
	"fmt"

	"sluice/pkg/aggregate"
	"sluice/pkg/event"
)

type taken struct{}

func (taken) EventType() string { return "seat.taken" }

type seat struct{ Taken bool }

// The rules of an aggregate are two pure functions: one folds events into the state,
// the other decides what happens next. Do calls them; so can a test.
func Example() {
	apply := func(s seat, _ event.Event, data event.Data) seat {
		if _, ok := data.(taken); ok {
			s.Taken = true
		}
		return s
	}
	command := aggregate.Command[seat]{
		ID: "12a",
		Decide: func(s seat) ([]event.Data, error) {
			if s.Taken {
				return nil, errors.New("the seat is taken")
			}
			return []event.Data{taken{}}, nil
		},
	}

	var s seat
	for range 2 {
		happens, err := command.Decide(s)
		fmt.Println(len(happens), err)
		for _, data := range happens {
			s = apply(s, event.Event{}, data)
		}
	}
	// Output:
	// 1 <nil>
	// 0 the seat is taken
}
