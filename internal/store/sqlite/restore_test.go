package sqlite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nave.dev/internal/store"
)

// TestRestoredDatabaseIsNoticed puts a database back by each way there is, and
// asks whether what agents were told since is covered.
func TestRestoredDatabaseIsNoticed(t *testing.T) {
	top := t.TempDir()
	dir, file := filepath.Join(top, "store"), filepath.Join(top, "backup")
	covers := func(s *Store, mark store.Mark, want bool, reason string) {
		t.Helper()
		if have := must(s.Covers(t.Context(), mark))(t); have != want {
			t.Errorf("%s: covered is %t, want %t", reason, have, want)
		}
	}
	open := func(dir string) *Store { return must(Open(t.Context(), dir, Options{}))(t) }

	s := open(dir)
	if origin := s.Origin(); origin.Recovering != justMade || origin.ID == "" || origin.Made.IsZero() {
		t.Errorf("a new database is %+v", origin)
	}
	check(t, s.SetRecovering(t.Context(), s.Origin().Recovering, ""))
	first := s.Mark()
	check(t, s.KeepClusters(t.Context(), store.Cluster{Name: "a"}))
	check(t, s.Close())

	s = open(dir)
	if origin := s.Origin(); origin.Recovering != "" {
		t.Errorf("recovering again by a restart: %q", origin.Recovering)
	}
	early := s.Mark()
	check(t, s.Backup(t.Context(), file))
	if err := s.Backup(t.Context(), file); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a backup written over: %v", err)
	}
	check(t, s.KeepClusters(t.Context(), store.Cluster{Name: "b"}))
	late := s.Mark()
	covers(s, store.Mark{}, true, "an agent that was told nothing")
	covers(s, first, true, "the first opening")
	covers(s, early, true, "before")
	covers(s, late, true, "now")
	covers(s, store.Mark{Database: late.Database, Opening: late.Opening, Change: late.Change + 1}, false, "what comes next")
	covers(s, store.Mark{Database: "another", Opening: late.Opening}, false, "another database")
	check(t, s.Close())

	before := must(Restore(t.Context(), file, dir))(t)
	s = open(dir)
	if why := s.Origin().Recovering; !strings.Contains(why, "put back from a backup, which knows nothing after 20") {
		t.Errorf("after a restore: recovering %q", why)
	}
	covers(s, first, true, "the first opening, after a restore")
	covers(s, early, true, "what was before the backup")
	covers(s, late, false, "what was after the backup, in the same opening")
	check(t, s.SetRecovering(t.Context(), s.Origin().Recovering, ""))
	check(t, s.Lacks(t.Context(), late, "told of later"))
	check(t, s.Lacks(t.Context(), store.Mark{Database: "another", Opening: "lost"}, "told of another"))
	if why := s.Origin().Recovering; why != "told of later" {
		t.Errorf("recovering because of %q, want the first reason", why)
	}
	covers(s, late, true, "what is asked of the agents by now")
	covers(s, store.Mark{Database: "another", Opening: "lost", Change: 7}, true, "another database, of which the agents are asked by now")
	covers(s, store.Mark{Database: "another", Opening: "unheard of"}, false, "one more database")
	if clusters := must(s.Clusters(t.Context()))(t); len(clusters) != 1 {
		t.Errorf("restored %+v, want cluster a alone", clusters)
	}
	restored := s.Mark()
	check(t, s.Close())

	// What was moved aside is still a database, in which the restored one's marks are unknown.
	s = open(before)
	covers(s, late, true, "in the database that was moved aside")
	covers(s, restored, false, "a mark of its restored copy")
	if clusters := must(s.Clusters(t.Context()))(t); len(clusters) != 2 {
		t.Errorf("moved aside %+v, want clusters a and b", clusters)
	}
	check(t, s.Close())

	// A machine that is put back knows of no restore: the copy tells by itself.
	copied := filepath.Join(top, "copied")
	check(t, os.CopyFS(copied, os.DirFS(dir)))
	s = open(dir)
	mark := s.Mark()
	check(t, s.Close())
	s = open(copied)
	covers(s, mark, false, "an opening that the copy has not seen")
	check(t, s.Close())

	if _, err := Restore(t.Context(), filepath.Join(top, "nowhere"), dir); err == nil {
		t.Error("restored from nothing")
	}
	empty := filepath.Join(top, "empty")
	check(t, os.WriteFile(empty, nil, 0o600))
	if _, err := Restore(t.Context(), empty, dir); err == nil || !strings.Contains(err.Error(), "it is empty") {
		t.Errorf("restored from an empty file: %v", err)
	}
}

func TestTimes(t *testing.T) {
	for _, want := range []time.Time{{}, noon, noon.Add(1)} {
		if have := moment(nanoseconds(want)); !have.Equal(want) {
			t.Errorf("%s is read as %s", want, have)
		}
	}
	if n := nanoseconds(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)); n <= nanoseconds(noon) {
		t.Errorf("a time far ahead is written as %d", n)
	}
	if n := nanoseconds(time.Date(1066, 1, 1, 0, 0, 0, 0, time.UTC)); n != 1 {
		t.Errorf("a time long ago is written as %d", n)
	}
}
