package marking

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"nave.dev/internal/store"
	"nave.dev/internal/store/sqlite"
	"nave.dev/internal/tunnel/authority"
)

// TestCompare shows a hub what agents were told: by itself, by one that knew more, by
// nobody.
func TestCompare(t *testing.T) {
	dir := t.TempDir()
	key := func(name string) *authority.Authority {
		t.Helper()
		if err := authority.Init(filepath.Join(dir, name), "acme", time.Now()); err != nil {
			t.Fatal(err)
		}
		a, err := authority.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	memory, err := sqlite.Open(t.Context(), filepath.Join(dir, "store"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	ours, theirs := key("ours"), key("theirs")
	m := &Marks{Store: memory, Authority: ours, Log: slog.New(slog.DiscardHandler)}
	seal := func(by *authority.Authority, mark store.Mark) json.RawMessage {
		t.Helper()
		text, err := json.Marshal(mark)
		if err != nil {
			t.Fatal(err)
		}
		sign, err := by.Seal(text)
		if err != nil {
			t.Fatal(err)
		}
		told, err := json.Marshal(sealed{text, sign})
		if err != nil {
			t.Fatal(err)
		}
		return told
	}
	own := m.Compare(t.Context(), "one", nil)
	if again := m.Compare(t.Context(), "one", own); string(again) != string(own) {
		t.Errorf("the same state is told as %s and as %s", own, again)
	}
	if err := memory.KeepClusters(t.Context(), store.Cluster{Name: "one"}); err != nil {
		t.Fatal(err)
	}
	if again := m.Compare(t.Context(), "one", own); string(again) == string(own) {
		t.Error("a later state is told as the one before")
	}
	lost := store.Mark{Database: "another", Opening: "lost", Change: 3}
	later := lost
	later.Change = 9
	plain, err := json.Marshal(lost)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		reason     string
		told       json.RawMessage
		recovering bool
	}{
		{"its own", own, false},
		{"nothing", nil, false},
		{"no mark", json.RawMessage(`"x"`), false},
		{"a mark without a seal", plain, false},
		{"one of another authority", seal(theirs, lost), false},
		{"one of a database that is gone", seal(ours, lost), true},
		{"the same once more", seal(ours, lost), false},
		{"a later one of the same opening", seal(ours, later), false},
	} {
		if err := memory.SetRecovering(t.Context(), memory.Origin().Recovering, ""); err != nil {
			t.Fatal(err)
		}
		if m.Compare(t.Context(), "one", c.told) == nil {
			t.Errorf("%s: the agent is told nothing", c.reason)
		}
		if why := memory.Origin().Recovering; (why != "") != c.recovering {
			t.Errorf("%s: recovering %q", c.reason, why)
		}
	}
	if err := memory.Close(); err != nil {
		t.Fatal(err)
	}
	if now := m.Compare(t.Context(), "one", seal(ours, store.Mark{Database: "x", Opening: "y"})); now != nil {
		t.Errorf("what could not be compared is forgotten: the agent is told %s", now)
	}
}
