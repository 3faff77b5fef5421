package order

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/bojanz/currency"
	"github.com/go-json-experiment/json"

	"sluice/pkg/event"
	"sluice/pkg/projection"
	"sluice/services/order/orderapi"
)

// searchTables is the read model behind the search for orders. Whoever changes the
// tables or what is put into them takes the next version, in all names: it is built
// from the stream beside the old one, which may be deleted.
//
// An order is there whole, as JSON, and beside it in columns what it is found by.
// All columns are text whose order is the order of what it stands for, so that a
// database compares exactly: see [sortableTime] and [sortableTotal].
var searchTables = projection.Schema{
	Model: "order_search_v1",
	Create: []string{
		`CREATE TABLE order_search_v1 (
			id VARCHAR(128) NOT NULL PRIMARY KEY,
			user_id VARCHAR(128) NOT NULL,
			status VARCHAR(16) NOT NULL,
			created_at CHAR(30) NOT NULL,
			currency CHAR(3) NOT NULL,
			total CHAR(34) NOT NULL,
			document TEXT NOT NULL)`,
		// With what most searches are narrowed by, so that one that finds little reads the
		// index alone.
		`CREATE INDEX order_search_v1_by_time ON order_search_v1 (created_at, id, status, currency, total)`,
		`CREATE INDEX order_search_v1_by_user ON order_search_v1 (user_id, created_at, id)`,
		`CREATE INDEX order_search_v1_by_status ON order_search_v1 (status, created_at, id)`,
	},
	Drop: []string{`DROP TABLE order_search_v1`},
}

// projectSearch keeps each order and what it is found by.
func projectSearch(ctx context.Context, tx *sql.Tx, e event.Event, data event.Data) error {
	var before orderapi.Order
	if e.Version > 1 {
		var document []byte
		err := tx.QueryRowContext(ctx, "SELECT document FROM order_search_v1 WHERE id = $1", e.Subject).Scan(&document)
		if err == nil {
			err = json.Unmarshal(document, &before)
		}
		if err != nil {
			return fmt.Errorf("load order %s: %w", e.Subject, err)
		}
	}
	o := apply(before, e, data)
	document, err := json.Marshal(o, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encode order %s: %w", e.Subject, err)
	}
	if e.Version > 1 {
		_, err = tx.ExecContext(ctx, "UPDATE order_search_v1 SET status = $1, document = $2 WHERE id = $3",
			string(o.Status), string(document), e.Subject)
	} else {
		err = insertSearch(ctx, tx, o, string(document))
	}
	if err != nil {
		return fmt.Errorf("keep order %s: %w", e.Subject, err)
	}
	return nil
}

func insertSearch(ctx context.Context, tx *sql.Tx, o orderapi.Order, document string) error {
	total, err := sortableTotal(o.TotalAmount)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO order_search_v1
		(id, user_id, status, created_at, currency, total, document) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		o.ID, o.UserID, string(o.Status), sortableTime(o.CreatedAt), o.TotalAmount.CurrencyCode(), total, document)
	return err
}

// timeLayout is RFC 3339 in UTC, with a width that does not change.
const timeLayout = "2006-01-02T15:04:05.000000000Z"

// sortableTime writes t, to the nanosecond, so that the order of texts is the order
// of times. In UTC a time from elsewhere may lie a day outside of the years 0 to 9999;
// it sorts as their beginning or end.
func sortableTime(t time.Time) string {
	t = t.UTC()
	if t.Year() < 0 {
		t = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if t.Year() > 9999 {
		t = time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	}
	return t.Format(timeLayout)
}

const (
	totalWidth    = 27 + 1 + totalFraction // as many digits as the largest total has
	totalFraction = 6
)

var totalPattern = regexp.MustCompile(`^[0-9]{1,27}\.[0-9]{6}$`)

// sortableTotal writes an amount exactly, with 27 digits before the point and 6 after
// it, so that the order of texts is the order of amounts of one currency.
func sortableTotal(a currency.Amount) (string, error) {
	number := a.RoundTo(totalFraction, currency.RoundHalfUp)
	if !number.Equal(a) || !totalPattern.MatchString(number.Number()) {
		return "", errors.New("the total has too many digits")
	}
	return strings.Repeat("0", totalWidth-len(number.Number())) + number.Number(), nil
}
