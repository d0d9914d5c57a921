package upkeep

import (
	"path/filepath"
	"testing"
	"time"

	"nave.dev/internal/store/sqlite"
	"nave.dev/internal/tunnel/authority"
)

func TestOneHubInADirectory(t *testing.T) {
	dir := t.TempDir()
	free, err := Own(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Own(dir); err == nil {
		t.Fatal("two hubs own one directory")
	}
	free()
	free, err = Own(dir)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	free()
}

// TestInit tells a fleet that begins from a database that is lost.
func TestInit(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "authority")
	if err := Init(t.Context(), dir, key, "acme", time.Now()); err != nil {
		t.Fatal(err)
	}
	open := func(reason string, recovering bool) {
		t.Helper()
		memory, err := sqlite.Open(t.Context(), Database(dir), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer memory.Close()
		if got := memory.Origin().Recovering != ""; got != recovering {
			t.Errorf("%s: recovering: %t", reason, got)
		}
	}
	open("a fleet that begins", false)
	backup := filepath.Join(t.TempDir(), "b")
	if err := Backup(t.Context(), dir, backup); err != nil {
		t.Fatal(err)
	}
	free, err := Own(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), dir, backup); err == nil {
		t.Error("a database was put back below a hub that runs")
	}
	free()
	before, err := Restore(t.Context(), dir, backup)
	if err != nil {
		t.Fatal(err)
	}
	open("a backup that was put back", true)
	if before == "" {
		t.Error("what was there is gone")
	}
	if err := Init(t.Context(), dir, key, "acme", time.Now()); err == nil {
		t.Error("a second key")
	}
	open("a second init ends no recovering", true)
	if err := Rotate(key, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := Retire(key, false, time.Now()); err == nil {
		t.Error("certificates of the older key count still")
	}
	if _, err := authority.Open(key); err != nil {
		t.Error(err)
	}
}
