package dismissing

import (
	"errors"
	"path/filepath"
	"testing"

	"nave.dev/internal/store"
	"nave.dev/internal/store/sqlite"
	"nave.dev/internal/tunnel"
)

// TestDismissed has a cluster stay dismissed over a restart, and join again under its
// name.
func TestDismissed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	open := func() (*List, *sqlite.Store) {
		t.Helper()
		s, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		l, err := Read(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return l, s
	}
	l, s := open()
	if err := s.KeepClusters(t.Context(), store.Cluster{Name: "pr", Identity: 2}); err != nil {
		t.Fatal(err)
	}
	check := func(reason, cluster string, number int64, dismissed bool) {
		t.Helper()
		var why *tunnel.DismissedError
		if err := l.Check(tunnel.Identity{Cluster: cluster, Number: number}); errors.As(err, &why) != dismissed {
			t.Errorf("%s: identity %d of %s is told %v", reason, number, cluster, err)
		}
	}
	check("before", "pr", 2, false)
	for cluster, want := range map[string]int64{"pr": 2, "other": 0} {
		if n, err := l.Add(t.Context(), cluster); err != nil || n != want {
			t.Errorf("%s is dismissed up to %d (%v), want %d", cluster, n, err, want)
		}
	}
	for range 2 {
		check("one that it had", "pr", 1, true)
		check("the last that it had", "pr", 2, true)
		check("the one of a token that was not used", "pr", 3, true)
		check("one that joined under its name", "pr", 4, false)
		check("the one of a first token that was not used", "other", 1, true)
		check("one that joins", "other", 2, false)
		check("one of another name", "third", 1, false)
		if n, err := s.Identity(t.Context(), "pr"); err != nil || n != 3 {
			t.Errorf("the next one to join gets the number after %d (%v), want after 3", n, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		l, s = open()
	}
	s.Close()
}

// TestDismissedAfterALoss removes a cluster of which the database knows nothing, and
// whose agent has shown itself.
func TestDismissedAfterALoss(t *testing.T) {
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "store"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := Read(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	id := tunnel.Identity{Cluster: "pr", Number: 4}
	if err := l.Check(id); err != nil {
		t.Fatal(err)
	}
	if n, err := l.Add(t.Context(), "pr"); err != nil || n != 4 {
		t.Errorf("dismissed up to %d (%v), want 4", n, err)
	}
	var why *tunnel.DismissedError
	if err := l.Check(id); !errors.As(err, &why) {
		t.Errorf("an agent that was there before the loss is told %v", err)
	}
}
