package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"nave.dev/internal/store"
)

// justMade is why a new database may lack what happened.
const justMade = "the database is new"

// openingsKept bounds how far back marks of earlier openings are known.
const openingsKept = 1000

// begin reads which database this is, or says so in a new one, and writes down
// that it was opened, under a name that no copy of it has.
func (s *Store) begin(ctx context.Context) error {
	now := s.opts.Now()
	s.opening = rand.Text()
	return s.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO meta SELECT 'id', ? WHERE NOT EXISTS (SELECT 1 FROM meta WHERE key = 'id')`, rand.Text()); err != nil {
			return err
		}
		// Only a database that has just been made has no time of that yet.
		made, err := tx.ExecContext(ctx, `INSERT INTO meta SELECT 'made', ? WHERE NOT EXISTS (SELECT 1 FROM meta WHERE key = 'made')`, nanoseconds(now))
		if err != nil {
			return err
		}
		if n, err := made.RowsAffected(); err != nil {
			return err
		} else if n > 0 {
			if _, err := tx.ExecContext(ctx, `UPDATE meta SET value = ? WHERE key = 'recovering'`, justMade); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO openings (opening, change, time) SELECT ?, value, ? FROM meta WHERE key = 'changes'`, s.opening, nanoseconds(now)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM openings WHERE number <= (SELECT max(number) FROM openings) - ?`, openingsKept); err != nil {
			return err
		}
		var at int64
		row := tx.QueryRowContext(ctx, `SELECT (SELECT value FROM meta WHERE key = 'id'), (SELECT value FROM meta WHERE key = 'made'),
			(SELECT value FROM meta WHERE key = 'recovering')`)
		err = row.Scan(&s.origin.ID, &at, &s.origin.Recovering)
		s.origin.Made = moment(at)
		return err
	})
}

// Origin says which database this is, and whether it may lack what happened.
func (s *Store) Origin() store.Origin {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.origin
}

// SetRecovering writes down why the database may lack what happened, or that what
// it lacked is known now, unless the reason before is another one by now.
func (s *Store) SetRecovering(ctx context.Context, before, why string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.origin.Recovering != before {
		return fmt.Errorf("writing whether the hub is recovering: it is for another reason meanwhile (%q)", s.origin.Recovering)
	}
	err := s.write(ctx, func(tx *sql.Tx) error { return setRecovering(ctx, tx, why) })
	if err != nil {
		return fmt.Errorf("writing whether the hub is recovering: %w", err)
	}
	s.origin.Recovering = why
	return nil
}

func setRecovering(ctx context.Context, tx *sql.Tx, why string) error {
	_, err := tx.ExecContext(ctx, `UPDATE meta SET value = ? WHERE key = 'recovering'`, why)
	return err
}

// Lacks writes down that the database lacks what a mark speaks of.
func (s *Store) Lacks(ctx context.Context, mark store.Mark, why string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	recovering := s.origin.Recovering
	if recovering == "" {
		recovering = why
	}
	err := s.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO lost VALUES (?)`, mark.Opening); err != nil {
			return err
		}
		return setRecovering(ctx, tx, recovering)
	})
	if err != nil {
		return fmt.Errorf("writing what the database lacks: %w", err)
	}
	s.origin.Recovering = recovering
	return nil
}

// Mark returns how far the database has come.
func (s *Store) Mark() store.Mark {
	return store.Mark{Database: s.Origin().ID, Opening: s.opening, Change: s.change.Load()}
}

// Covers reports whether the database has all that it had when it gave the mark
// away. Marks of openings that are a thousand openings back are not known.
func (s *Store) Covers(ctx context.Context, mark store.Mark) (bool, error) {
	switch {
	case mark == store.Mark{}:
		return true, nil
	case mark.Database == s.Origin().ID && mark.Opening == s.opening:
		return mark.Change <= s.change.Load(), nil
	}
	var lost bool
	if err := s.readers.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM lost WHERE opening = ?)`, mark.Opening).Scan(&lost); err != nil {
		return false, fmt.Errorf("reading what the database lacks: %w", explain(err))
	}
	if lost || mark.Database != s.Origin().ID {
		return lost, nil
	}
	// An opening ends where the next one begins.
	var end sql.NullInt64
	row := s.readers.QueryRowContext(ctx, `SELECT (SELECT change FROM openings WHERE number > o.number ORDER BY number LIMIT 1)
		FROM openings AS o WHERE opening = ?`, mark.Opening)
	if err := row.Scan(&end); errors.Is(err, sql.ErrNoRows) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("reading when the database was opened: %w", explain(err))
	}
	return end.Valid && mark.Change <= end.Int64, nil
}

// nanoseconds is a time as the database has it; 0 is the zero time. What does not
// fit is taken for the first or last that does.
func nanoseconds(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Year() < 1971:
		return 1
	case t.Year() > 2261:
		t = time.Date(2261, 12, 31, 0, 0, 0, 0, time.UTC)
	}
	return t.UnixNano()
}

func moment(nanoseconds int64) time.Time {
	if nanoseconds == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanoseconds).UTC()
}
