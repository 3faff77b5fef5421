package timeline_test

import (
	"fmt"
	"time"

	"sluice/pkg/timeline"
)

func Example() {
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	first, err := timeline.Parse(created, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	// A reader gets to sequence 100. Then a backup is restored that ends at 50.
	now := first.Fork(50, created.Add(time.Hour))
	fmt.Println(now.Holds(first.Began, 100), now.Holds(first.Began, 50))
	// Output: false true
}
