package projection_test

import (
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
)

type account struct {
	ID      string `json:"id"`
	Balance int    `json:"balance"`
}

type opened struct {
	Branch string `json:"branch"`
}

func (opened) EventType() string { return "account.opened" }

type deposited struct {
	Amount int `json:"amount"`
}

func (deposited) EventType() string { return "account.deposited" }

// Accounts by id, and by branch. The service starts the runner, and reads the view:
//
//	page, next, err := view.List(ctx, "by-branch."+branch, cursor, 20)
func ExampleKV() {
	js, err := jetstream.New(&nats.Conn{}) // the service's connection
	if err != nil {
		panic(err)
	}
	events := event.NewRegistry("account", event.Define[opened](1), event.Define[deposited](1))
	store := eventstore.New(js, eventstore.Stream{Name: "ACCOUNTS", Entity: "account"}, events)

	view := projection.KV(js, "accounts", func(tx *projection.Tx[account], e event.Event, data event.Data) error {
		switch d := data.(type) {
		case opened:
			tx.Put(e.Subject, account{ID: e.Subject})
			tx.Index("by-branch."+d.Branch+"."+e.Subject, e.Subject)
		case deposited:
			a, _, err := tx.Get(e.Subject)
			if err != nil {
				return err
			}
			a.Balance += d.Amount
			tx.Put(e.Subject, a)
		}
		return nil
	})
	runner := view.Follow(store, projection.Config{})

	fmt.Println(runner.Health())
	fmt.Println(projection.BucketConfig("accounts").Name)
	// Output:
	// the read model is not followed
	// KV_accounts
}

// Who belongs to which branch, in the memory of each process.
func ExampleInMemory() {
	js, err := jetstream.New(&nats.Conn{}) // the service's connection
	if err != nil {
		panic(err)
	}
	events := event.NewRegistry("account", event.Define[opened](1), event.Define[deposited](1))
	store := eventstore.New(js, eventstore.Stream{Name: "ACCOUNTS", Entity: "account"}, events)

	branches := projection.InMemory("branches", func(tx *projection.Tx[string], e event.Event, data event.Data) error {
		if d, ok := data.(opened); ok {
			tx.Put(e.Subject, d.Branch)
		}
		return nil
	})
	runner := branches.Follow(store, projection.Config{}) // its Start returns when all is read

	_, known := branches.Get("0193")
	fmt.Println(known, runner.Health())
	// Output:
	// false the read model is not followed
}
