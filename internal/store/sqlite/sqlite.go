// Package sqlite keeps what a hub remembers in a file of SQLite. The main type is
// Store, which implements store.Store: one connection writes, others read, and
// the history is written in batches by a goroutine that ends with Close. The file
// is in a directory of its own, with what SQLite keeps beside it, and is refused,
// and left as it is, if it is damaged or newer than the program.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // the driver

	"nave.dev/internal/store"
)

// What lies in the directory of a store.
const (
	fileName = "hub.db"
	lockName = "lock"
)

// Options configure a Store.
type Options struct {
	// Events and EventAge bound the history by number and age, Entries and EntryAge
	// what operators did. 0 means 1,000,000 and 30 days, 1,000,000 and 400 days.
	// By age little is removed at a time, so that a clock that is wrong for a while
	// does not cost the history.
	Events   int64
	EventAge time.Duration
	Entries  int64
	EntryAge time.Duration
	// FlushInterval is how long an event waits to be written at most. 0 means 200ms.
	FlushInterval time.Duration
	Listener      Listener
	Now           func() time.Time
}

// Listener is told what no caller waits for. Its functions are called one at a
// time, must not block, and must not use the store.
type Listener struct {
	// Dropped: events cannot be written and are dropped, for this reason. It is called
	// once until Kept is.
	Dropped func(why error)
	// Kept: events are written again; so many were dropped.
	Kept func(dropped int64)
	// Tidying: old items could not be removed.
	Tidying func(why error)
}

func (o Options) withDefaults() Options {
	for _, n := range []*int64{&o.Events, &o.Entries} {
		if *n == 0 {
			*n = 1_000_000
		}
	}
	const day = 24 * time.Hour
	for _, d := range []struct {
		value *time.Duration
		other time.Duration
	}{{&o.EventAge, 30 * day}, {&o.EntryAge, 400 * day}, {&o.FlushInterval, 200 * time.Millisecond}} {
		if *d.value == 0 {
			*d.value = d.other
		}
	}
	if o.Listener.Dropped == nil {
		o.Listener.Dropped = func(error) {}
	}
	if o.Listener.Kept == nil {
		o.Listener.Kept = func(int64) {}
	}
	if o.Listener.Tidying == nil {
		o.Listener.Tidying = func(error) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Store is a database of SQLite that this process alone writes to.
type Store struct {
	opts    Options
	dir     string
	writer  *sql.DB // one connection
	readers *sql.DB
	unlock  func()

	opening string       // of this Open
	change  atomic.Int64 // durable changes so far
	mu      sync.Mutex
	origin  store.Origin

	history queue
	stop    context.CancelFunc
	done    chan struct{} // closed when the goroutine of the history has ended
	closing sync.Once
	closed  error
}

var _ store.Store = (*Store)(nil)

// Open opens the database in a directory, which is made if need be, and brings it
// to the form that this program works with. Another process that has it open, a
// damaged file and one of a newer program are errors; the file is then as it was.
func Open(ctx context.Context, dir string, opts Options) (_ *Store, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the database: %w", err)
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{opts: opts.withDefaults(), dir: dir, unlock: unlock, done: make(chan struct{})}
	defer func() {
		if err != nil {
			err = fmt.Errorf("opening the database in %s: %w", dir, explain(err))
			s.release()
		}
	}()
	file := filepath.Join(dir, fileName)
	if s.writer, err = connect(file, writing); err != nil {
		return nil, err
	}
	if err := inspect(ctx, s.writer); err != nil {
		return nil, err
	}
	if err := migrate(ctx, s.writer, migrations); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	if s.readers, err = connect(file, reading); err != nil {
		return nil, err
	}
	s.readers.SetMaxOpenConns(readers)
	s.readers.SetMaxIdleConns(readers)
	// The history outlives the call that opened it, and ends with Close.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.history.news, s.history.full = make(chan struct{}, 1), make(chan struct{}, 1)
	go s.keepHistory(work)
	return s, nil
}

// Close writes what waits to be written and ends the store.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.stop()
		<-s.done
		s.closed = s.release()
	})
	return s.closed
}

// release gives back what is open.
func (s *Store) release() error {
	var errs []error
	for _, db := range []*sql.DB{s.readers, s.writer} { // the last one leaves no log behind
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	s.unlock()
	return errors.Join(errs...)
}

// readers is how many queries are answered at once.
const readers = 4

// Ways to connect to a database.
var (
	// Every commit waits for the disk: what a method says is written outlives a power cut.
	writing = []string{"busy_timeout(10000)", "journal_mode(wal)", "synchronous(full)", "journal_size_limit(67108864)"}
	reading = []string{"busy_timeout(10000)", "query_only(1)"}
	copying = []string{"busy_timeout(10000)"} // SQLite takes a copy for writing
)

// connect returns a connection to a file, which is made when it is used.
func connect(file string, pragmas []string) (*sql.DB, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", (&url.URL{
		Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}.Encode(),
	}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// lock makes the database in a directory this process's own until free is called
// or the process ends.
func lock(dir string) (free func(), err error) {
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the database: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return func() { file.Close() }, nil
	}
	file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("another process works with the database in %s", dir)
	}
	return nil, fmt.Errorf("locking the database in %s: %w", dir, err)
}

// write does something in a transaction, which is on the disk when it returns nil.
func (s *Store) write(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return explain(err)
	}
	defer tx.Rollback() // without effect once it is committed
	if err := do(tx); err != nil {
		return explain(err)
	}
	var change int64
	if err := tx.QueryRowContext(ctx, `UPDATE meta SET value = value + 1 WHERE key = 'changes' RETURNING value`).Scan(&change); err != nil {
		return explain(err)
	}
	if err := tx.Commit(); err != nil {
		return explain(err)
	}
	s.change.Store(change)
	return nil
}
