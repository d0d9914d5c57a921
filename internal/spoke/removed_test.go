package spoke

import (
	"testing"

	"nave.dev/internal/app"
)

// TestARemovedAppGoesWithItsObjects: it has come out empty by intent, unlike one
// whose render lost everything; and other apps keep what is theirs.
func TestARemovedAppGoesWithItsObjects(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("one")
	web, other := g.desired("web", g.configMap("a", "1"), g.configMap("b", "1")), g.desired("other", g.configMap("c", "1"))
	web.Options.Lineage = app.Lineage{Delivery: "other", Parent: "other", Cascade: true}
	s.Assign(assigned(other, web))
	g.synced(s)

	empty := g.desired("web")
	empty.Options = web.Options
	s.Assign(assigned(other, empty))
	g.until("the empty app says that nothing is deleted", func() bool {
		for _, a := range s.State().Apps {
			if a.Name == "web" && len(a.Problems) == 2 {
				return true
			}
		}
		return false
	})
	if g.value("a") == "" || g.value("b") == "" {
		t.Fatal("an app that came out empty lost its objects")
	}

	empty.Removed = true
	gone := assigned(other, empty)
	s.Assign(gone)
	g.until("its objects are gone", func() bool { return g.value("a") == "" && g.value("b") == "" })
	g.until("nothing is left of it", func() bool { return s.Settled(gone)["web"] == empty.Bundle.Digest })
	if g.value("c") == "" {
		t.Error("another app lost an object")
	}
	for _, a := range s.State().Apps {
		if a.Name == "web" && (!a.Removed || a.Parent != "other") {
			t.Errorf("shown as %+v", a)
		}
	}
}
