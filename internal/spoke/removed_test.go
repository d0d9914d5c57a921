package spoke

import (
	"testing"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// TestARemovedAppGoesWithItsObjects: it has come out empty by intent, unlike one
// whose render lost everything; and other apps keep what is theirs.
func TestARemovedAppGoesWithItsObjects(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("one")
	stays, asks := g.configMap("stays", "1"), g.configMap("asks", "1")
	stays.SetAnnotations(map[string]string{object.SyncOptionsAnnotation: "Delete=false"})
	asks.SetAnnotations(map[string]string{object.SyncOptionsAnnotation: "Delete=confirm"})
	web, other := g.desired("web", g.configMap("a", "1"), g.configMap("b", "1"), stays, asks), g.desired("other", g.configMap("c", "1"))
	web.Options.Lineage = app.Lineage{Delivery: "other", Parent: "other", Cascade: true}
	s.Assign(assigned(other, web))
	g.synced(s)

	empty := g.desired("web")
	empty.Options = web.Options
	s.Assign(assigned(other, empty))
	g.until("the empty app says that nothing is deleted", func() bool {
		for _, a := range s.State().Apps {
			if a.Name == "web" && len(a.Problems) == 4 {
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
	held := ""
	g.until("what asks is held", func() bool {
		for _, a := range s.State().Apps {
			if a.Name == "web" && a.Held != nil {
				held = a.Held.Digest
			}
		}
		return held != ""
	})
	if g.value("asks") == "" || s.Settled(gone)["web"] == empty.Bundle.Digest {
		t.Fatal("what asks for confirmation was not waited for")
	}
	if err := s.Confirm(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	g.until("what was confirmed is gone", func() bool { return g.value("asks") == "" })
	g.until("nothing is left of it", func() bool { return s.Settled(gone)["web"] == empty.Bundle.Digest })
	if g.value("c") == "" {
		t.Error("another app lost an object")
	}
	if g.value("stays") == "" {
		t.Error("an object that stays when its app goes went")
	}
	for _, a := range s.State().Apps {
		if a.Name == "web" && (!a.Removed || a.Parent != "other") {
			t.Errorf("shown as %+v", a)
		}
	}
}

func TestARemovedAppWaitsForItsParent(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("one")
	root, child := g.desired("root", g.configMap("of-root", "1")), g.desired("child", g.configMap("a", "1"))
	child.Options.Lineage = app.Lineage{Delivery: "root", Parent: "root", Cascade: true}
	s.Assign(assigned(child, root))
	g.synced(s)

	unknown := g.configMap("new", "1")
	unknown.SetAPIVersion("example.com/v1")
	unknown.SetKind("Thing")
	empty := g.desired("child")
	empty.Options, empty.Removed = child.Options, true
	s.Assign(assigned(empty, g.desired("root", g.configMap("of-root", "2"), unknown)))
	g.until("it says what it waits for", func() bool {
		return g.value("of-root") == "2" && stateOf(s, "child").Message == "waits for the objects of root to be in place"
	})
	if g.value("a") == "" {
		t.Fatal("what the commit adds is not there yet, and what it removes is gone")
	}
	s.Assign(assigned(empty, g.desired("root", g.configMap("of-root", "2"))))
	g.until("its objects are gone", func() bool { return g.value("a") == "" })
}
