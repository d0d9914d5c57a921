package pausing

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/spoke"
)

// TestPauses writes pauses down and reads them again: in a directory without any,
// after others, and after all were lifted.
func TestPauses(t *testing.T) {
	dir := t.TempDir()
	until := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	whole := spoke.Pause{Until: until, Actor: "ann", Reason: "an audit"}
	app := spoke.Pause{App: "web", Until: until.Add(time.Hour), Actor: "bob", Reason: "a repair by hand"}
	reads := func(reason string, want map[string][]spoke.Pause) {
		t.Helper()
		got, err := Read(dir)
		if err != nil {
			t.Fatalf("%s: %v", reason, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s, -want +have:\n%s", reason, diff)
		}
	}
	reads("there was none yet", map[string][]spoke.Pause{})
	for _, pauses := range []map[string][]spoke.Pause{
		{"one": {whole, app}, "two": {app}}, {"two": {whole}}, {},
	} {
		if err := Write(dir, pauses); err != nil {
			t.Fatal(err)
		}
		reads("as they were written", pauses)
	}
	if err := Write(dir, nil); err != nil {
		t.Fatal(err)
	}
	reads("nothing is an empty map, to which pauses can be added", map[string][]spoke.Pause{})
}

// TestDamaged has a file that cannot be read be no pauses, and an error that says of
// what.
func TestDamaged(t *testing.T) {
	for _, content := range []string{"", "{", `{"one": [{"until": "soon"}]}`, `{"one": [{"app": "web"}], "two": 3}`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, File), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		pauses, err := Read(dir)
		if err == nil || !strings.Contains(err.Error(), "pauses of clusters") || pauses == nil || len(pauses) > 0 {
			t.Errorf("%q: pauses %v, error %v", content, pauses, err)
		}
	}
}

// TestKeptBefore has pauses that cannot be written leave those from before alone.
func TestKeptBefore(t *testing.T) {
	dir := t.TempDir()
	before := map[string][]spoke.Pause{"one": {{Until: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), Actor: "ann", Reason: "an audit"}}}
	if err := Write(dir, before); err != nil {
		t.Fatal(err)
	}
	never := map[string][]spoke.Pause{"two": {{Until: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}}} // a time that JSON has no form for
	if err := Write(dir, never); err == nil || !strings.Contains(err.Error(), "pauses of clusters") {
		t.Errorf("error %v", err)
	}
	got, err := Read(dir)
	if diff := cmp.Diff(before, got); err != nil || diff != "" {
		t.Errorf("error %v, -want +have:\n%s", err, diff)
	}
	if err := Write(filepath.Join(dir, "absent"), before); err == nil {
		t.Error("a directory that is not there takes them")
	}
}
