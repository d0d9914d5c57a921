package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"nave.dev/internal/store"
)

// Bounds of a page.
const (
	pageDefault = 100
	pageMost    = 1000
	pageBytes   = 4 << 20
)

// list is a query of a table that is ordered by time and number, the newest first.
type list struct {
	table, columns string
	indexes        []string // columns with an index of their own and time, the best first

	where  []string
	args   []any
	wanted []string // columns that must equal something

	next store.Cursor // where the next page begins
}

// equal wants a column to have a value, unless that is empty.
func (l *list) equal(column, value string) {
	if value != "" {
		l.where, l.args = append(l.where, column+" = ?"), append(l.args, value)
		l.wanted = append(l.wanted, column)
	}
}

// between wants times from since on and before until, where these are not zero.
func (l *list) between(since, until time.Time) {
	if !since.IsZero() {
		l.where, l.args = append(l.where, "time >= ?"), append(l.args, nanoseconds(since))
	}
	if !until.IsZero() {
		l.where, l.args = append(l.where, "time < ?"), append(l.args, nanoseconds(until))
	}
}

// read has each row of a page read. A reader says where its row is, and how large.
func (l *list) read(ctx context.Context, db *sql.DB, before store.Cursor, limit int, row func(*sql.Rows) (store.Cursor, int, error)) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("reading the %s of the database: %w", l.table, explain(err))
		}
	}()
	if limit <= 0 {
		limit = pageDefault
	}
	limit = min(limit, pageMost)
	if !before.IsZero() {
		at := nanoseconds(before.Time)
		l.where = append(l.where, "time <= ? AND (time < ? OR id < ?)")
		l.args = append(l.args, at, at, before.ID)
	}
	rows, err := db.QueryContext(ctx, l.text(), append(l.args, limit+1)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var last store.Cursor
	for count, bytes := 0, 0; rows.Next(); count++ {
		if count == limit || bytes > pageBytes {
			l.next = last
			return nil
		}
		at, size, err := row(rows)
		if err != nil {
			return err
		}
		last, bytes = at, bytes+size
	}
	return rows.Err()
}

// text is the query. The index is named, because without statistics SQLite cannot
// know that few events are of one cluster and many of one app.
func (l *list) text() string {
	index := "time"
	if i := slices.IndexFunc(l.indexes, func(column string) bool { return slices.Contains(l.wanted, column) }); i >= 0 {
		index = l.indexes[i]
	}
	where := ""
	if len(l.where) > 0 {
		where = " WHERE " + strings.Join(l.where, " AND ")
	}
	return fmt.Sprintf("SELECT %s FROM %s INDEXED BY %s_%s%s ORDER BY time DESC, id DESC LIMIT ?",
		l.columns, l.table, l.table, index, where)
}

// text is JSON as the database has it.
func text(data json.RawMessage) any {
	if len(data) == 0 {
		return nil
	}
	return []byte(data)
}
