package projection_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
)

// Balances in a table, for questions that keys do not answer. The service starts the
// runner, waits with balances.Await, and asks the reader:
//
//	SELECT id FROM balances_v1 WHERE balance < $1 ORDER BY balance
func ExampleSQL() {
	js, err := jetstream.New(&nats.Conn{}) // the service's connection
	if err != nil {
		panic(err)
	}
	events := event.NewRegistry("account", event.Define[opened](1), event.Define[deposited](1))
	store := eventstore.New(js, eventstore.Stream{Name: "ACCOUNTS", Entity: "account"}, events)

	folder, err := os.MkdirTemp("", "models") // the service's data folder
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	db, err := projection.OpenSQLite(context.Background(), filepath.Join(folder, "balances.db"))
	if err != nil {
		panic(err)
	}
	defer func() { _ = db.Close() }()

	schema := projection.Schema{Model: "balances_v1", Create: []string{
		`CREATE TABLE balances_v1 (id VARCHAR(128) NOT NULL PRIMARY KEY, balance BIGINT NOT NULL)`,
	}}
	balances := projection.SQL(db.Writer(), schema, func(ctx context.Context, tx *sql.Tx, e event.Event, data event.Data) error {
		var err error
		switch d := data.(type) {
		case opened:
			_, err = tx.ExecContext(ctx, "INSERT INTO balances_v1 (id, balance) VALUES ($1, 0)", e.Subject)
		case deposited:
			_, err = tx.ExecContext(ctx, "UPDATE balances_v1 SET balance = balance + $1 WHERE id = $2", d.Amount, e.Subject)
		}
		return err
	})
	runner := balances.Follow(store, projection.Config{})

	fmt.Println(runner.Health())
	// Output: the read model is not followed
}
