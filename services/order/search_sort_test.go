package order

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/pkg/app"
	"sluice/pkg/endpoint"
	"sluice/pkg/projection"
	"sluice/services/order/orderapi"
)

func asError(err error, target **endpoint.Error) bool { return errors.As(err, target) }

// forged returns a cursor for req that no search made.
func forged(t *testing.T, req orderapi.SearchRequest, createdAt, id string) string {
	t.Helper()
	p := pageEnd{CreatedAt: createdAt, ID: id}
	var err error
	if p.Search, err = fingerprint(req); err != nil {
		t.Fatal(err)
	}
	c, err := p.cursor()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTextSortsAsAmounts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		draw := rapid.StringMatching(`[0-9]{1,27}(\.[0-9]{1,6})?`)
		a, b := draw.Draw(r, "a"), draw.Draw(r, "b")
		x, errX := sortableTotal(money(a, "EUR"))
		y, errY := sortableTotal(money(b, "EUR"))
		if errX != nil || errY != nil || len(x) != totalWidth || len(y) != totalWidth {
			r.Fatalf("%q %v, %q %v", x, errX, y, errY)
		}
		if strings.Compare(x, y) != number(a).Cmp(number(b)) {
			r.Fatalf("%s and %s sort as %s and %s", a, b, x, y)
		}
		if number(x).Cmp(number(a)) != 0 {
			r.Fatalf("%s became %s", a, x)
		}
	})
	for _, much := range []string{"0.0000001", "1" + strings.Repeat("0", 27), "-1", "1e40", "1e-7"} {
		if text, err := sortableTotal(money(much, "EUR")); err == nil {
			t.Errorf("%s became %s", much, text)
		}
	}
	for written, want := range map[string]string{"1e3": "1000.000000", "0e9": "0.000000", "1.50": "1.500000", "12.5e-1": "1.250000"} {
		if text, err := sortableTotal(money(written, "EUR")); err != nil || strings.TrimLeft(text, "0") != strings.TrimLeft(want, "0") {
			t.Errorf("%s became %s, %v", written, text, err)
		}
	}
}

func TestTextSortsAsTimes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		draw := rapid.Custom(func(r *rapid.T) time.Time {
			return time.Unix(rapid.Int64Range(-62167219200, 253402300799).Draw(r, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(r, "nanoseconds")).
				In(time.FixedZone("", rapid.IntRange(-50000, 50000).Draw(r, "zone")))
		})
		a, b := draw.Draw(r, "a"), draw.Draw(r, "b")
		if strings.Compare(sortableTime(a), sortableTime(b)) != a.Compare(b) {
			r.Fatalf("%s and %s sort as %s and %s", a, b, sortableTime(a), sortableTime(b))
		}
	})
	last := time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200))
	if got := sortableTime(last); got != "9999-12-31T23:59:59.999999999Z" {
		t.Errorf("beyond the last year: %s", got)
	}
	first := time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 7200))
	if got := sortableTime(first); got != "0000-01-01T00:00:00.000000000Z" {
		t.Errorf("before the first year: %s", got)
	}
}

// TestSearchesUseAnIndex also holds that none sorts what it found.
func TestSearchesUseAnIndex(t *testing.T) {
	t.Parallel()
	f := newSearch(t)
	everything := orderapi.SearchRequest{
		Status: orderapi.StatusPending, UserID: "u", From: at(1), To: at(2), MinTotal: "1", MaxTotal: "2", Currency: "EUR",
	}
	for name, req := range map[string]orderapi.SearchRequest{
		"nothing": {}, "status": {Status: orderapi.StatusPending}, "user": {UserID: "u"}, "time": {From: at(1), To: at(2)},
		"total": {MinTotal: "1", MaxTotal: "2", Currency: "EUR"}, "everything": everything,
	} {
		for _, cursor := range []string{"", forged(t, req, sortableTime(at(1)), "o-1")} {
			req.Cursor = cursor
			q, err := newQuery(req)
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range f.plan(t, q) {
				if strings.Contains(step, "TEMP B-TREE") || !strings.Contains(step, "USING INDEX order_search_v1_by_") {
					t.Errorf("%s, cursor %q: %s", name, cursor, step)
				}
			}
		}
	}
}

// plan returns the steps that the database takes.
func (f found) plan(t *testing.T, q query) []string {
	t.Helper()
	rows, err := f.db.Reader().QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+q.text(), q.args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var steps []string
	for rows.Next() {
		var (
			id, parent, unused int
			step               string
		)
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil || len(steps) == 0 {
		t.Fatalf("no plan: %v", err)
	}
	return steps
}

// TestSearchRefusesAForeignFile holds that the operator reads what to do.
func TestSearchRefusesAForeignFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "order", "search.db")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("dear diary"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := openSearch(t.Context(), app.Env{DataDir: folder}, nil)
	want := "open database " + path + ": not a read model, or damaged; remove the file, and it is built again from the stream"
	if !errors.Is(err, projection.ErrNotAModel) || err.Error() != want {
		t.Errorf("%v", err)
	}
}
