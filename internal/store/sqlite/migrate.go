package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
)

// application is the number that SQLite keeps in a file to say whose it is: "Nave".
const application = 0x4e617665

// migrations bring a database from each version to the next; the version is how
// many of them it has seen. One that was released is never changed.
var migrations = []string{
	`CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) WITHOUT ROWID;
	INSERT INTO meta VALUES ('changes', 0), ('recovering', '');
	CREATE TABLE openings (number INTEGER PRIMARY KEY, opening TEXT NOT NULL UNIQUE, change INTEGER NOT NULL, time INTEGER NOT NULL);
	CREATE TABLE events (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		time INTEGER NOT NULL, cluster TEXT NOT NULL, app TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL, detail BLOB
	);
	CREATE INDEX events_time ON events (time);
	CREATE INDEX events_cluster ON events (cluster, time);
	CREATE INDEX events_app ON events (app, time);
	CREATE INDEX events_kind ON events (kind, time);
	CREATE TABLE entries (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		time INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, cluster TEXT NOT NULL, app TEXT NOT NULL,
		reason TEXT NOT NULL, before BLOB, after BLOB, outcome TEXT NOT NULL, address TEXT NOT NULL
	);
	CREATE INDEX entries_time ON entries (time);
	CREATE INDEX entries_cluster ON entries (cluster, time);
	CREATE INDEX entries_actor ON entries (actor, time);
	CREATE TABLE clusters (
		name TEXT PRIMARY KEY, state BLOB, facts BLOB, identity INTEGER NOT NULL, serial TEXT NOT NULL,
		certificate_end INTEGER NOT NULL, last_seen INTEGER NOT NULL, agent_version TEXT NOT NULL,
		accepted INTEGER NOT NULL, digest TEXT NOT NULL
	);
	CREATE TABLE tokens (id TEXT PRIMARY KEY, key TEXT NOT NULL, end INTEGER NOT NULL);
	CREATE TABLE identities (cluster TEXT PRIMARY KEY, number INTEGER NOT NULL);`,
	`CREATE TABLE dismissed (cluster TEXT PRIMARY KEY, number INTEGER NOT NULL);`,
	`CREATE TABLE issued (cluster TEXT PRIMARY KEY, number INTEGER NOT NULL);`,
	`CREATE TABLE lost (opening TEXT PRIMARY KEY) WITHOUT ROWID;`,
}

// essential are the tables that a hub acts upon, by the migration that makes them.
// The history is not among them: to read all of it at every start would take long.
var essential = [][]string{{"meta", "openings", "entries", "clusters", "tokens", "identities"}, {"dismissed"}, {"issued"}, {"lost"}}

// inspect refuses a file that is not a database of a hub, is newer than this
// program, or is damaged. An empty one is none of these.
func inspect(ctx context.Context, db *sql.DB) error {
	var tables, owner, version int
	row := db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM sqlite_schema), application_id, user_version
		FROM pragma_application_id, pragma_user_version`)
	if err := row.Scan(&tables, &owner, &version); err != nil {
		return err
	}
	switch {
	case tables == 0 && owner == 0:
		return nil
	case owner != application:
		return fmt.Errorf("it is not the database of a hub")
	case version > len(migrations):
		return fmt.Errorf("it is of version %d, and this program knows those up to %d\nhint: run the program that wrote it, or a newer one", version, len(migrations))
	}
	for _, table := range slices.Concat(essential[:version]...) {
		var result string
		if err := db.QueryRowContext(ctx, "PRAGMA quick_check('"+table+"')").Scan(&result); err != nil {
			return err
		}
		if result != "ok" {
			return &damagedError{fmt.Errorf("table %s: %s", table, result)}
		}
	}
	return nil
}

// migrate brings a database to the version that the steps lead to, each step in a
// transaction of its own.
func migrate(ctx context.Context, db *sql.DB, steps []string) error {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	for ; version < len(steps); version++ {
		if err := step(ctx, db, steps[version], version+1); err != nil {
			return fmt.Errorf("bringing it to version %d: %w", version+1, err)
		}
	}
	return nil
}

func step(ctx context.Context, db *sql.DB, statements string, version int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // without effect once it is committed
	for _, statement := range []string{
		statements,
		fmt.Sprintf("PRAGMA application_id = %d", application),
		fmt.Sprintf("PRAGMA user_version = %d", version),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}
