package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"nave.dev/internal/atomicfile"
)

// Backup writes a consistent copy to a file that does not exist yet, with what was
// recorded before the call, while the store is in use.
func (s *Store) Backup(ctx context.Context, file string) error {
	s.flush(ctx)
	return Backup(ctx, s.dir, file)
}

// Backup writes a consistent copy of the database in a directory to a file that
// does not exist yet, also while another process works with it.
func Backup(ctx context.Context, dir, file string) error {
	source := filepath.Join(dir, fileName)
	if _, err := os.Stat(source); err != nil {
		return fmt.Errorf("looking for a database to back up: %w", err)
	}
	db, err := connect(source, copying)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := inspect(ctx, db); err != nil {
		return fmt.Errorf("opening the database in %s: %w", dir, explain(err))
	}
	return copyInto(ctx, db, file)
}

// copyInto writes a copy aside and puts it into its place once it is on the disk.
func copyInto(ctx context.Context, db *sql.DB, file string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("backing up the database: %w", explain(err))
		}
	}()
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("%s is there already\nhint: a backup writes nothing over", file)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	aside, err := os.CreateTemp(filepath.Dir(file), atomicfile.Prefix) // readable by the owner only
	if err != nil {
		return err
	}
	defer os.Remove(aside.Name())
	defer aside.Close()
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, aside.Name()); err != nil {
		return err
	}
	if err := aside.Sync(); err != nil {
		return err
	}
	if err := os.Rename(aside.Name(), file); err != nil {
		return err
	}
	return syncDir(filepath.Dir(file))
}

// Restore makes a backup the database in a directory, which no process may have
// open. What was there is moved aside, to the directory whose name it returns. The
// database says that it is recovering, since it lacks what happened after.
func Restore(ctx context.Context, file, dir string) (before string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("restoring the database from %s: %w", file, explain(err))
		}
	}()
	made, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), atomicfile.Prefix)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(made)
	copied := filepath.Join(made, fileName)
	if err := copyFile(copied, file); err != nil {
		return "", err
	}
	if err := prepare(ctx, copied); err != nil {
		return "", err
	}
	if err := syncDir(made); err != nil {
		return "", err
	}
	if _, err := os.Stat(dir); err == nil {
		unlock, err := lock(dir)
		if err != nil {
			return "", err
		}
		defer unlock()
		before = fmt.Sprintf("%s.before-%s", filepath.Clean(dir), filepath.Base(made)[len(atomicfile.Prefix):])
		if err := os.Rename(dir, before); err != nil {
			return "", err
		}
	}
	if err := os.Rename(made, dir); err != nil {
		return before, err
	}
	return before, syncDir(filepath.Dir(filepath.Clean(dir)))
}

// prepare checks all of a copy of a backup, brings it to this program's version
// and has it say that it was put back.
func prepare(ctx context.Context, file string) error {
	db, err := connect(file, writing)
	if err != nil {
		return err
	}
	defer db.Close()
	var tables int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return err
	}
	if tables == 0 {
		return errors.New("it is empty")
	}
	if err := inspect(ctx, db); err != nil {
		return err
	}
	var result string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&result); err != nil {
		return err
	}
	if result != "ok" {
		return &damagedError{errors.New(result)}
	}
	if err := migrate(ctx, db, migrations); err != nil {
		return err
	}
	var last int64
	row := db.QueryRowContext(ctx, `SELECT max(coalesce((SELECT max(time) FROM events), 0), coalesce((SELECT max(time) FROM entries), 0),
		coalesce((SELECT max(time) FROM openings), 0))`)
	if err := row.Scan(&last); err != nil {
		return err
	}
	why := fmt.Sprintf("the database was put back from a backup, which knows nothing after %s", moment(last).Format(time.RFC3339))
	if _, err := db.ExecContext(ctx, `UPDATE meta SET value = ? WHERE key = 'recovering'`, why); err != nil {
		return err
	}
	return db.Close()
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
