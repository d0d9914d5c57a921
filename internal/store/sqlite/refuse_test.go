package sqlite

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nave.dev/internal/store"
)

// change opens the file of a closed database by SQL.
func change(t *testing.T, file string, statements ...string) {
	t.Helper()
	db := must(connect(file, writing))(t)
	for _, statement := range statements {
		must(db.ExecContext(t.Context(), statement))(t)
	}
	check(t, db.Close())
}

// TestRefused opens, backs up and restores files that a hub cannot work with, and
// wants them left as they are.
func TestRefused(t *testing.T) {
	tests := []struct {
		reason string
		spoil  func(t *testing.T, file string)
		want   string
	}{{
		reason: "a newer program's",
		spoil:  func(t *testing.T, file string) { change(t, file, "PRAGMA user_version = 99") },
		want:   "it is of version 99, and this program knows those up to 4\nhint: run the program that wrote it",
	}, {
		reason: "another program's",
		spoil:  func(t *testing.T, file string) { change(t, file, "PRAGMA application_id = 7") },
		want:   "not the database of a hub",
	}, {
		reason: "text",
		spoil: func(t *testing.T, file string) {
			check(t, os.WriteFile(file, []byte(strings.Repeat("words\n", 1000)), 0o600))
		},
		want: "hint: the file is damaged: put a backup back",
	}, {
		reason: "a table that is damaged",
		spoil: func(t *testing.T, file string) {
			data := must(os.ReadFile(file))(t)
			at := bytes.Index(data, []byte("c100"))
			if at < 0 {
				t.Fatal("the cluster is not in the file")
			}
			page := at / 4096 * 4096
			for i := range 64 {
				data[page+i] ^= 0xff
			}
			check(t, os.WriteFile(file, data, 0o600))
		},
		want: "hint: the file is damaged: put a backup back",
	}, {
		reason: "half a file",
		spoil: func(t *testing.T, file string) {
			check(t, os.Truncate(file, must(os.Stat(file))(t).Size()/2/4096*4096))
		},
		want: "hint: the file is damaged: put a backup back",
	}}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			s := start(t, dir, Options{})
			for i := range 200 {
				check(t, s.KeepClusters(t.Context(), store.Cluster{Name: "c" + string(rune('0'+i/100)) + string(rune('0'+i/10%10)) + string(rune('0'+i%10)), Serial: strings.Repeat("x", 200)}))
			}
			check(t, s.Close())
			file := filepath.Join(dir, fileName)
			test.spoil(t, file)
			before := must(os.ReadFile(file))(t)
			if _, err := Open(t.Context(), dir, Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("opening: have %v, want %q", err, test.want)
			}
			if err := Backup(t.Context(), dir, filepath.Join(t.TempDir(), "copy")); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("backing up: have %v, want %q", err, test.want)
			}
			target := filepath.Join(t.TempDir(), "store")
			if _, err := Restore(t.Context(), file, target); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("restoring: have %v, want %q", err, test.want)
			}
			if left := must(os.ReadDir(filepath.Dir(target)))(t); len(left) > 0 {
				t.Errorf("restoring has left %v", left)
			}
			if !bytes.Equal(before, must(os.ReadFile(file))(t)) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestMigrations(t *testing.T) {
	file := filepath.Join(t.TempDir(), fileName)
	open := func() *sql.DB { return must(connect(file, writing))(t) }
	version := func(db *sql.DB) (n int) {
		check(t, db.QueryRowContext(t.Context(), "PRAGMA user_version").Scan(&n))
		return n
	}
	db := open()
	check(t, migrate(t.Context(), db, migrations[:1]))
	must(db.ExecContext(t.Context(), `INSERT INTO identities VALUES ('a', 7)`))(t)
	next := append(migrations[:1:1],
		`ALTER TABLE identities ADD COLUMN note TEXT NOT NULL DEFAULT 'none'`,
		`CREATE TABLE third (x); INSERT INTO nowhere VALUES (1)`)
	if err := migrate(t.Context(), db, next); err == nil || !strings.Contains(err.Error(), "bringing it to version 3") {
		t.Errorf("a step that fails: %v", err)
	}
	check(t, db.Close())

	db = open()
	defer db.Close()
	if n := version(db); n != 2 {
		t.Errorf("after a step that fails the version is %d, want 2", n)
	}
	var (
		number, tables int
		note           string
	)
	check(t, db.QueryRowContext(t.Context(), `SELECT number, note FROM identities WHERE cluster = 'a'`).Scan(&number, &note))
	check(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM sqlite_schema WHERE name = 'third'`).Scan(&tables))
	if number != 7 || note != "none" || tables != 0 {
		t.Errorf("have number %d, note %q and %d tables of the step that fails", number, note, tables)
	}
	next[2] = `CREATE TABLE third (x)`
	check(t, migrate(t.Context(), db, next))
	check(t, migrate(t.Context(), db, next))
	if n := version(db); n != 3 {
		t.Errorf("the version is %d, want 3", n)
	}
}
