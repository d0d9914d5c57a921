package release

import (
	"testing"

	"nave.dev/internal/app"
)

// What an app never brought about, or another one has by now, is not uninstalled with it.
func TestRemoveLeavesWhatOthersHave(t *testing.T) {
	w := newWorld(t)
	remove := func(app string) Result {
		t.Helper()
		target := w.target
		target.App = app
		result, err := w.client().Remove(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	w.sync()
	if got := remove("never"); !got.Left || w.color() != "blue" {
		t.Errorf("an app that did not install it removed it: %+v", got)
	}
	w.target.App = "renamed"
	w.sync()
	if got := remove("web"); !got.Left || got.Present || w.color() != "blue" {
		t.Errorf("the app that had it before removed it: %+v", got)
	}
	w.set(map[string]any{"port": "no port"})
	w.target.Release.Upgrade.Remediation = app.Remediation{Last: true}
	w.sync()
	if got := remove("renamed"); got.Left || got.Present || w.color() != "" {
		t.Errorf("the app that has it, by a rollback to another's revision, did not remove it: %+v", got)
	}
}
