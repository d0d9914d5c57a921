package sqlite

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// damagedError says what of a database is damaged.
type damagedError struct{ error }

func (e *damagedError) Unwrap() error { return e.error }

// explain adds to an error of the database what a person can do about it.
func explain(err error) error {
	var (
		fault   *sqlite.Error
		damaged *damagedError
		hint    string
	)
	code := 0
	if errors.As(err, &fault) {
		code = fault.Code()
	}
	switch {
	case errors.As(err, &damaged), code&0xff == sqlite3.SQLITE_CORRUPT, code&0xff == sqlite3.SQLITE_NOTADB:
		hint = "the file is damaged: put a backup back with nave hub restore, or move the directory away, and the hub starts with an empty one and asks the clusters"
	case code&0xff == sqlite3.SQLITE_FULL, code&0xff == sqlite3.SQLITE_IOERR:
		hint = "free space on the disk of the database, or look whether the disk is in order"
	default:
		return err
	}
	return fmt.Errorf("%w\nhint: %s", err, hint)
}
