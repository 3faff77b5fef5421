package projection

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite" // in Go alone
)

// sqliteID marks a file as one of ours, in its header: PRAGMA application_id, "SLCE".
const sqliteID = 0x534c4345

// sqliteReaders bounds the connections that only read.
const sqliteReaders = 4

// ErrNotAModel says that a file is damaged or holds something else than read models.
var ErrNotAModel = errors.New("not a read model, or damaged")

// SQLite is a database in one file, inside this process. It is safe for concurrent
// use: readers do not wait for the writer and see what was committed when their
// statement began.
//
// What is committed survives a kill. A power cut may take the last commits back, all
// of a commit or nothing; the model then folds those events again.
type SQLite struct {
	writer, reader *sql.DB
}

// OpenSQLite opens the database at path, which it creates, with its folder, where
// there is none. A file that is damaged, or is not one of ours, fails with
// [ErrNotAModel] and is left as it is: the operator may remove it, since a model is
// built again from its stream. Damage beyond the file's first pages shows later, in
// the queries that meet it.
func OpenSQLite(ctx context.Context, path string) (*SQLite, error) {
	fail := func(err error) (*SQLite, error) { return nil, fmt.Errorf("open database %s: %w", path, err) }
	absolute, err := filepath.Abs(path)
	if err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(filepath.Dir(absolute), 0o700); err != nil {
		return fail(err)
	}
	if err := checkHeader(absolute); err != nil {
		return fail(err)
	}
	if err := claim(ctx, absolute); err != nil {
		return fail(err)
	}
	db := &SQLite{}
	if db.writer, err = openSQLite(absolute, "journal_mode(wal)", "synchronous(normal)", "secure_delete(1)", "cache_size(-16384)"); err != nil {
		return fail(err)
	}
	db.writer.SetMaxOpenConns(1)
	if db.reader, err = openSQLite(absolute, "query_only(1)"); err != nil {
		return fail(errors.Join(err, db.writer.Close()))
	}
	db.reader.SetMaxOpenConns(sqliteReaders)
	db.reader.SetMaxIdleConns(sqliteReaders)
	if err := db.writer.PingContext(ctx); err != nil {
		return fail(errors.Join(err, db.Close()))
	}
	if err := os.Chmod(absolute, 0o600); err != nil {
		return fail(errors.Join(err, db.Close()))
	}
	return db, nil
}

// openSQLite is lazy: the first statement opens the file.
func openSQLite(path string, pragmas ...string) (*sql.DB, error) {
	query := url.Values{"_pragma": append([]string{"busy_timeout(5000)"}, pragmas...)}
	name := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
	return sql.Open("sqlite", name.String())
}

// checkHeader looks at the first bytes of a file, without touching it. No file, or an
// empty one, is fine.
func checkHeader(path string) error {
	file, err := os.Open(path) //nolint:gosec // G304: which file it is, is the caller's choice
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	header := make([]byte, 100)
	switch n, err := io.ReadFull(file, header); {
	case n == 0 && errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF), err == nil && !bytes.HasPrefix(header, []byte("SQLite format 3\x00")):
		return ErrNotAModel
	default:
		return err
	}
}

// claim marks a database without tables as one of ours, and refuses another's, before
// anything else is changed in it.
func claim(ctx context.Context, path string) (err error) {
	db, err := openSQLite(path)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	var id, tables int64
	err = db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id)
	if err == nil {
		err = db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables)
	}
	switch {
	case isDamage(err):
		return fmt.Errorf("%w: %w", ErrNotAModel, err)
	case err != nil:
		return err
	case id == sqliteID:
		return nil
	case id != 0 || tables > 0:
		return ErrNotAModel
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", sqliteID))
	return err
}

// isDamage reports whether SQLite found that a file is no database, or a broken one.
func isDamage(err error) bool {
	const corrupt, notADatabase = 11, 26
	failed, ok := errors.AsType[*sqlite.Error](err)
	return ok && (failed.Code()&0xff == corrupt || failed.Code() == notADatabase)
}

// Writer returns the one connection that writes, for [SQL]. A statement outside of
// its transaction waits for the transaction to end.
func (d *SQLite) Writer() *sql.DB { return d.writer }

// Reader returns the connections for queries; they cannot write.
func (d *SQLite) Reader() *sql.DB { return d.reader }

// Close waits for statements that run and closes the file. Stop the runners of its
// models before.
func (d *SQLite) Close() error { return errors.Join(d.reader.Close(), d.writer.Close()) }
