package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/pkg/timeline"
)

// The statements about checkpoints are SQL-92 but for IF NOT EXISTS and numbered
// placeholders, which SQLite and PostgreSQL take.
const (
	createCheckpoints = `CREATE TABLE IF NOT EXISTS projection_checkpoints (
		model VARCHAR(128) NOT NULL PRIMARY KEY,
		stream VARCHAR(255) NOT NULL,
		created VARCHAR(40) NOT NULL,
		sequence BIGINT NOT NULL,
		complete BIGINT NOT NULL,
		skipped VARCHAR(4000) NOT NULL)`
	insertCheckpoint = `INSERT INTO projection_checkpoints
		(model, stream, created, sequence, complete, skipped) VALUES ($1, $2, $3, $4, $5, 'null')`
	selectCheckpoint = `SELECT stream, created, sequence, complete, skipped FROM projection_checkpoints WHERE model = $1`
	deleteCheckpoint = `DELETE FROM projection_checkpoints WHERE model = $1`
	moveCheckpoint   = `UPDATE projection_checkpoints SET sequence = $1, skipped = $2, created = $3
		WHERE model = $4 AND stream = $5 AND created = $6 AND sequence = $7`
)

// revision tells one stored checkpoint from another, and from none, which is 0.
func revision(sequence uint64) uint64 { return sequence + 1 }

func (m *sqlModel) checkpoint(ctx context.Context) (checkpoint, error) {
	var (
		at                 checkpoint
		created, skipped   string
		sequence, complete int64
	)
	err := m.db.QueryRowContext(ctx, selectCheckpoint, m.schema.Model).Scan(&at.Stream, &created, &sequence, &complete, &skipped)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return checkpoint{}, nil
	case err != nil:
		return checkpoint{}, fmt.Errorf("read the checkpoint of %s: %w", m.schema.Model, err)
	}
	at.Sequence, at.revision = uint64(sequence), revision(uint64(sequence))
	m.complete.Store(uint64(complete))
	if at.Created, err = time.Parse(time.RFC3339Nano, created); err == nil {
		err = json.Unmarshal([]byte(skipped), &at.Skipped)
	}
	if err != nil {
		return at, fmt.Errorf("%w: it is not a checkpoint: %w", ErrCheckpoint, err)
	}
	return at, nil
}

// tablesError says that the database refused to make a model's tables.
type tablesError struct{ err error }

func (e *tablesError) Error() string { return "make the tables: " + e.err.Error() }
func (e *tablesError) Unwrap() error { return e.err }

// create returns a transaction that makes the tables and the first checkpoint.
func (m *sqlModel) create(ctx context.Context) (*sql.Tx, error) {
	tx, err := m.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("begin a transaction: %w", err)
	}
	if err := m.fill(ctx, tx); err != nil {
		return nil, errors.Join(err, rollback(tx))
	}
	return tx, nil
}

func (m *sqlModel) fill(ctx context.Context, tx *sql.Tx) error {
	history, err := m.history.js.Stream(ctx, m.history.name)
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", m.history.name, err)
	}
	info := history.CachedInfo()
	now, err := timeline.Of(info)
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", m.history.name, err)
	}
	before := max(info.State.FirstSeq, 1) - 1 // what is gone was erased, and nobody has to fold it
	_, err = tx.ExecContext(ctx, insertCheckpoint, m.schema.Model, m.history.name, createdText(now.Began), int64(before), int64(info.State.LastSeq))
	if err != nil {
		return fmt.Errorf("write the first checkpoint: %w", err)
	}
	for _, statement := range m.schema.Create {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return &tablesError{err}
		}
	}
	return nil
}

// move writes the checkpoint next, where at is what is there, and reports whether it
// was.
func (m *sqlModel) move(ctx context.Context, tx *sql.Tx, at, next checkpoint) (bool, error) {
	skipped, err := json.Marshal(next.Skipped, json.Deterministic(true))
	if err != nil {
		return false, fmt.Errorf("encode the checkpoint: %w", err)
	}
	result, err := tx.ExecContext(ctx, moveCheckpoint, int64(next.Sequence), string(skipped), createdText(next.Created),
		m.schema.Model, at.Stream, createdText(at.Created), int64(at.Sequence))
	if err != nil {
		return false, fmt.Errorf("move the checkpoint: %w", err)
	}
	rows, err := result.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("move the checkpoint: %w", err)
	}
	return rows == 1, nil
}

func createdText(created time.Time) string { return created.UTC().Format(time.RFC3339Nano) }
