package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"nave.dev/internal/store"
)

// Audit writes down what somebody is about to do. The time is now, where it is
// not given.
func (s *Store) Audit(ctx context.Context, e store.Entry) (id int64, err error) {
	if e.Time.IsZero() {
		e.Time = s.opts.Now()
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO entries (time, actor, action, cluster, app, reason, before, after, outcome, address)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			nanoseconds(e.Time), e.Actor, e.Action, e.Cluster, e.App, e.Reason, text(e.Before), text(e.After), e.Outcome, e.Address)
		if err != nil {
			return err
		}
		id, err = result.LastInsertId()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("writing down who asks for %s: %w", e.Action, err)
	}
	return id, nil
}

// Conclude adds to an entry what became of it. What was concluded stays as it is.
func (s *Store) Conclude(ctx context.Context, id int64, after json.RawMessage, outcome string) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE entries SET after = coalesce(?, after), outcome = ? WHERE id = ? AND outcome = ''`, text(after), outcome, id)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return fmt.Errorf("no action %d is under way", id)
	})
	if err != nil {
		return fmt.Errorf("writing down what became of an action: %w", err)
	}
	return nil
}

// Entries returns a page of what operators did, the newest first.
func (s *Store) Entries(ctx context.Context, query store.EntryQuery) (store.EntryPage, error) {
	l := list{table: "entries", columns: "id, time, actor, action, cluster, app, reason, before, after, outcome, address", indexes: []string{"cluster", "actor"}}
	l.equal("actor", query.Actor)
	l.equal("action", query.Action)
	l.equal("cluster", query.Cluster)
	l.equal("app", query.App)
	l.between(query.Since, query.Until)
	page := store.EntryPage{Entries: []store.Entry{}}
	err := l.read(ctx, s.readers, query.Before, query.Limit, func(rows *sql.Rows) (store.Cursor, int, error) {
		var (
			e  store.Entry
			at int64
		)
		err := rows.Scan(&e.ID, &at, &e.Actor, &e.Action, &e.Cluster, &e.App, &e.Reason, (*[]byte)(&e.Before), (*[]byte)(&e.After), &e.Outcome, &e.Address)
		e.Time = moment(at)
		page.Entries = append(page.Entries, e)
		return store.Cursor{Time: e.Time, ID: e.ID}, len(e.Reason) + len(e.Before) + len(e.After) + len(e.Outcome), err
	})
	if err != nil {
		return store.EntryPage{}, err
	}
	page.Next = l.next
	return page, nil
}
