package projection_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"sluice/pkg/event"
)

var errFault = errors.New("the database is gone, as ordered")

// faults is a database that fails at one of its steps: begin, each statement, commit.
type faults struct {
	open func() (driver.Conn, error)

	mu      sync.Mutex
	steps   int  // so far
	at      int  // the step that fails; 0 is none
	after   bool // it is done, and fails all the same
	forGood bool // all that comes later fails as well
	blown   chan struct{}
}

// step does what a step does, and fails it when its time has come.
func (f *faults) step(do func() error) error {
	f.mu.Lock()
	f.steps++
	blows := f.steps == f.at
	dead := f.forGood && f.at > 0 && f.steps > f.at
	f.mu.Unlock()
	if blows {
		defer close(f.blown)
	}
	if dead || blows && !f.after {
		return errFault
	}
	err := do()
	if blows {
		return errors.Join(errFault, err)
	}
	return err
}

func (f *faults) Connect(context.Context) (driver.Conn, error) {
	c, err := f.open()
	return &faultyConn{Conn: c, faults: f}, err
}

func (f *faults) Driver() driver.Driver { return nil }

type faultyConn struct {
	driver.Conn
	faults *faults
}

func (c *faultyConn) BeginTx(ctx context.Context, opts driver.TxOptions) (tx driver.Tx, err error) {
	err = c.faults.step(func() error {
		tx, err = c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
		return err
	})
	if err != nil && tx != nil {
		err = errors.Join(err, tx.Rollback())
	}
	return faultyTx{tx, c.faults}, err
}

func (c *faultyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	err = c.faults.step(func() error {
		result, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return result, err
}

func (c *faultyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (found driver.Rows, err error) {
	err = c.faults.step(func() error {
		found, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		return err
	})
	if err != nil && found != nil {
		err = errors.Join(err, found.Close())
	}
	return found, err
}

type faultyTx struct {
	driver.Tx
	faults *faults
}

// Commit leaves nothing behind when it fails, as the driver does.
func (t faultyTx) Commit() error {
	tried := false
	err := t.faults.step(func() error {
		tried = true
		return t.Tx.Commit()
	})
	if !tried {
		err = errors.Join(err, t.Rollback())
	}
	return err
}

// newFaults opens the file at path, which has to be there, through faults.
func newFaults(t *testing.T, path string) *faults {
	t.Helper()
	f := &faults{blown: make(chan struct{})}
	d := newDB(t).Writer().Driver()
	f.open = func() (driver.Conn, error) {
		return d.Open("file:" + path + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)")
	}
	return f
}

func (f *faults) db(t *testing.T) *sql.DB {
	t.Helper()
	db := sql.OpenDB(f)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// TestSQLSurvivesAFaultAtEveryStep lets the database fail at each step of a history,
// before the step and after it, once or until the process is started again.
func TestSQLSurvivesAFaultAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for _, forGood := range []bool{false, true} {
			t.Run(fmt.Sprintf("after=%t,forGood=%t", after, forGood), func(t *testing.T) {
				t.Parallel()
				_, w := start(t)
				for i := range 3 {
					w.write(t, fmt.Sprint("id-", i%2), added{Owner: "o", Amount: i})
				}
				counting := newFaults(t, filepath.Join(t.TempDir(), "models.db"))
				f := w.followSQL(t, counting.db(t), foldSQL)
				f.catchUp(t)
				f.stop(t)
				steps := counting.steps
				if steps < 15 {
					t.Fatalf("the history takes %d steps", steps)
				}
				for step := 1; step <= steps; step++ {
					w.fault(t, step, after, forGood)
				}
			})
		}
	}
}

// fault folds the history of w into a new file and lets one step fail.
func (w *world) fault(t *testing.T, step int, after, forGood bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "models.db")
	broken := newFaults(t, path)
	broken.at, broken.after, broken.forGood = step, after, forGood
	db := broken.db(t)
	f, err := w.tryFollowSQL(t, db)
	if err != nil || forGood {
		<-broken.blown
		f.stop(t)
		db = openPlain(t, path)
		f = w.followSQL(t, db, foldSQL)
	}
	f.catchUp(t)
	f.stop(t)
	w.compareSQL(t, db)
}

// openPlain opens the file at path as after a restart.
func openPlain(t *testing.T, path string) *sql.DB {
	t.Helper()
	return newFaults(t, path).db(t)
}

// TestSQLOldInstanceWakesUp stops one instance between its transactions, lets another
// fold on, and wakes the first up.
func TestSQLOldInstanceWakesUp(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	path := filepath.Join(t.TempDir(), "models.db")
	asleep, wake := make(chan struct{}), make(chan struct{})
	slow := newFaults(t, path)
	old := w.followSQL(t, sql.OpenDB(&sleepy{faults: slow, asleep: asleep, wake: wake}), foldSQL)
	defer old.stop(t)
	w.write(t, "a", added{Owner: "o", Amount: 1})
	old.catchUp(t)
	slow.mu.Lock()
	slow.at = -1 // sleep before the next transaction
	slow.mu.Unlock()
	w.write(t, "a", added{Owner: "o", Amount: 2})
	<-asleep
	db := openPlain(t, path)
	f := w.followSQL(t, db, foldSQL)
	defer f.stop(t)
	w.write(t, "b", added{Owner: "o", Amount: 3})
	f.catchUp(t)
	close(wake)
	last := w.write(t, "a", added{Owner: "o", Amount: 4})
	old.moves(t, last)
	f.catchUp(t)
	w.compareSQL(t, db)
}

// sleepy is a database whose connection sleeps once before a transaction.
type sleepy struct {
	*faults
	asleep, wake chan struct{}
}

func (s *sleepy) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := s.faults.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &sleepyConn{faultyConn: c.(*faultyConn), sleepy: s}, nil
}

type sleepyConn struct {
	*faultyConn
	sleepy *sleepy
}

func (c *sleepyConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	c.sleepy.mu.Lock()
	sleeps := c.sleepy.at == -1
	c.sleepy.at = 0
	c.sleepy.mu.Unlock()
	if sleeps {
		close(c.sleepy.asleep)
		<-c.sleepy.wake
	}
	return c.faultyConn.BeginTx(ctx, opts)
}

// TestSQLCommitsTogether folds a history with far fewer commits than events.
func TestSQLCommitsTogether(t *testing.T) {
	t.Parallel()
	_, w := start(t)
	const events = 300
	for i := range events {
		w.write(t, fmt.Sprint("id-", i%7), added{Owner: "o", Amount: i})
	}
	counted := newFaults(t, filepath.Join(t.TempDir(), "models.db"))
	folds := 0
	f := w.followSQL(t, counted.db(t), func(ctx context.Context, tx *sql.Tx, e event.Event, data event.Data) error {
		folds++
		return foldSQL(ctx, tx, e, data)
	})
	f.catchUp(t)
	f.stop(t)
	if folds != events {
		t.Errorf("%d events were folded %d times", events, folds)
	}
	if most := 2*events + events/4; counted.steps > most {
		t.Errorf("%d events took %d steps of the database, more than %d", events, counted.steps, most)
	}
}
