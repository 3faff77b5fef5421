package order

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/bojanz/currency"
	"github.com/go-json-experiment/json"

	"sluice/pkg/app"
	"sluice/pkg/endpoint"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
	"sluice/services/order/orderapi"
)

const (
	searchPage      = 50
	searchPageBytes = 512 << 10 // of orders, so that a page fits one NATS message
)

// search finds orders in a database of this instance: the model [searchTables], in a
// file in the data folder. An instance that lost its file builds it again from the
// stream, and answers from it only when it is whole.
type search struct {
	db        *projection.SQLite
	tables    *projection.Tables
	following *projection.Runner
}

func openSearch(ctx context.Context, env app.Env, store *eventstore.Store) (search, error) {
	db, err := projection.OpenSQLite(ctx, filepath.Join(env.DataDir, "order", "search.db"))
	if errors.Is(err, projection.ErrNotAModel) {
		return search{}, fmt.Errorf("%w; remove the file, and it is built again from the stream", err)
	}
	if err != nil {
		return search{}, err
	}
	tables := projection.SQL(db.Writer(), searchTables, projectSearch)
	return search{db: db, tables: tables, following: tables.Follow(store, projection.Config{Log: env.Log})}, nil
}

// close comes after following has stopped.
func (s search) close(log *slog.Logger) {
	if err := s.db.Close(); err != nil {
		log.Error("the search's database did not close", "error", err)
	}
}

func (s search) find(ctx context.Context, req orderapi.SearchRequest) (orderapi.ListResponse, error) {
	q, err := newQuery(req)
	if err != nil {
		return orderapi.ListResponse{}, err
	}
	if err := s.tables.Await(ctx); err != nil {
		return orderapi.ListResponse{}, err
	}
	page, err := s.page(ctx, q)
	if err != nil {
		return orderapi.ListResponse{}, fmt.Errorf("search orders: %w", err)
	}
	response := orderapi.ListResponse{Items: page.orders}
	if page.more {
		last := pageEnd{CreatedAt: page.last.CreatedAt, ID: page.last.ID}
		if last.Search, err = fingerprint(req); err != nil {
			return orderapi.ListResponse{}, err
		}
		response.Next, err = last.cursor()
	}
	return response, err
}

// page is what one query found.
type page struct {
	orders []orderapi.Order
	last   pageEnd // of the last of them
	more   bool
}

func (s search) page(ctx context.Context, q query) (p page, err error) {
	rows, err := s.db.Reader().QueryContext(ctx, q.text(), q.args...)
	if err != nil {
		return page{}, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	bytes := 0
	for rows.Next() {
		var (
			at       pageEnd
			document []byte
		)
		if err := rows.Scan(&at.CreatedAt, &at.ID, &document); err != nil {
			return page{}, err
		}
		bytes += len(document)
		if len(p.orders) == q.limit || bytes > searchPageBytes && len(p.orders) > 0 {
			p.more = true
			return p, nil
		}
		var o orderapi.Order
		if err := json.Unmarshal(document, &o); err != nil {
			return page{}, fmt.Errorf("order %s: %w", at.ID, err)
		}
		p.orders, p.last = append(p.orders, o), at
	}
	return p, rows.Err()
}

// query is a search as SQL.
type query struct {
	conditions []string
	args       []any
	limit      int // orders on the page; one more is asked for, to see whether there is one
}

// newQuery takes a request that is valid but for its cursor.
func newQuery(req orderapi.SearchRequest) (query, error) {
	q := query{limit: req.Limit}
	if q.limit == 0 {
		q.limit = searchPage
	}
	if req.Status != "" {
		q.and("status =", string(req.Status))
	}
	if req.UserID != "" {
		q.and("user_id =", req.UserID)
	}
	if !req.From.IsZero() {
		q.and("created_at >=", sortableTime(req.From))
	}
	if !req.To.IsZero() {
		q.and("created_at <", sortableTime(req.To))
	}
	if req.Currency != "" {
		q.and("currency =", req.Currency)
	}
	if err := q.bound("min_total", "total >=", req.MinTotal, req.Currency); err != nil {
		return q, err
	}
	if err := q.bound("max_total", "total <=", req.MaxTotal, req.Currency); err != nil {
		return q, err
	}
	if req.Cursor == "" {
		return q, nil
	}
	after, err := parseCursor(req)
	switch {
	case errors.Is(err, errCursor), errors.Is(err, errOtherSearch):
		return q, endpoint.Invalid("the cursor is not one of this search", endpoint.FieldError{Field: "cursor", Message: err.Error()})
	case err != nil:
		return q, err
	}
	q.after(after)
	return q, nil
}

// and narrows the search: what is compared, and with which value.
func (q *query) and(comparison string, value any) {
	q.conditions = append(q.conditions, comparison+" "+q.bind(value))
}

// bind adds a value and returns what stands for it in the text. Numbered like this it
// is understood by PostgreSQL and SQLite.
func (q *query) bind(value any) string {
	q.args = append(q.args, value)
	return fmt.Sprintf("$%d", len(q.args))
}

func (q *query) bound(field, comparison, number, code string) error {
	if number == "" {
		return nil
	}
	amount, err := currency.NewAmount(number, code)
	if err == nil {
		var total string
		if total, err = sortableTotal(amount); err == nil {
			q.and(comparison, total)
			return nil
		}
	}
	return endpoint.Invalid("the request is not valid", endpoint.FieldError{Field: field, Message: "must be a decimal like 19.99"}).Because(err)
}

// after leaves out everything up to and with the last order of the page before. The
// first condition says less than the second, and lets an index begin there.
func (q *query) after(p pageEnd) {
	q.and("created_at <=", p.CreatedAt)
	q.conditions = append(q.conditions, fmt.Sprintf("(created_at < %s OR id < %s)", q.bind(p.CreatedAt), q.bind(p.ID)))
}

// text returns the statement; it holds nothing that a caller wrote.
func (q *query) text() string {
	where := ""
	if len(q.conditions) > 0 {
		where = " WHERE " + strings.Join(q.conditions, " AND ")
	}
	return fmt.Sprintf("SELECT created_at, id, document FROM order_search_v1%s ORDER BY created_at DESC, id DESC LIMIT %d", where, q.limit+1)
}
