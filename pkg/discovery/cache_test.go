package discovery

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestAnswersServeForTheirTTL runs on a clock of its own, which goes on when everybody
// waits.
func TestAnswersServeForTheirTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		var known []string
		outage := errors.New("outage")
		var fails error
		c := newCache(time.Second, func(_ context.Context, _ string, k []string) ([]Instance, error) {
			asked++
			known = k
			<-time.After(10 * time.Millisecond) // how long asking takes
			return []Instance{{Name: "order", ID: "a"}}, fails
		})
		get := func() error { _, err := c.get(t.Context(), "order"); return err }

		var together sync.WaitGroup
		for range 8 {
			together.Go(func() {
				if err := get(); err != nil {
					t.Error(err)
				}
			})
		}
		together.Wait()
		if asked != 1 || len(known) != 0 {
			t.Fatalf("eight callers asked %d times, knowing %v", asked, known)
		}
		<-time.After(900 * time.Millisecond)
		if err := get(); err != nil || asked != 1 {
			t.Errorf("a fresh answer was not used: %d, %v", asked, err)
		}
		<-time.After(200 * time.Millisecond)
		if err := get(); err != nil || asked != 2 || len(known) != 1 || known[0] != "order a" {
			t.Errorf("an old answer was used: %d, %v, knowing %v", asked, err, known)
		}
		<-time.After(2 * time.Second)
		fails = outage
		for want := 3; want < 5; want++ {
			if err := get(); !errors.Is(err, outage) || asked != want {
				t.Errorf("an outage was answered from memory: %d, %v", asked, err)
			}
		}
		fails = nil
		if err := get(); err != nil || asked != 5 {
			t.Errorf("an outage was kept: %d, %v", asked, err)
		}
	})
}

// A caller that gives up does not take the others with it.
func TestACallerThatWaitsMayLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(time.Second, func(ctx context.Context, _ string, _ []string) ([]Instance, error) {
			select {
			case <-time.After(time.Minute):
				return []Instance{{Name: "order", ID: "a"}}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		var others sync.WaitGroup
		others.Go(func() {
			hasty, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := c.get(hasty, "order"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the hasty one got %v", err)
			}
		})
		synctest.Wait()
		for range 3 {
			others.Go(func() {
				if got, err := c.get(t.Context(), "order"); err != nil || len(got) != 1 {
					t.Errorf("a patient one got %v, %v", got, err)
				}
			})
		}
		others.Wait()
	})
}
