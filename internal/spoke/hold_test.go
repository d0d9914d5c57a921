package spoke

import (
	"errors"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/app"
)

var errBroken = errors.New("the render is broken")

func TestHold(t *testing.T) {
	g := on(t)
	s, stop := g.spoke("first")
	if slices.Contains(s.Found(), "web") {
		t.Error("an app is known to have been applied before the cluster was reached")
	}
	first := assigned(g.desired("web", g.configMap("a", "one"), g.configMap("x", "one")))
	s.Assign(first)
	g.synced(s)
	if found := s.Found(); found == nil || slices.Contains(found, "web") {
		t.Errorf("found %v: this spoke itself applied it first", found)
	}
	g.until("it is settled", func() bool { return s.Settled(first)["web"] == first.Apps[0].Bundle.Digest })

	hold := func(reason string) *Assigned {
		next := assigned(g.desired("web", g.configMap("a", "two")))
		next.Holds = map[string]string{"web": reason}
		s.Assign(next)
		g.until("the prune is held because "+reason, func() bool {
			apps := s.State().Apps
			return len(apps) == 1 && apps[0].Held != nil && strings.Contains(apps[0].Held.Reason, reason)
		})
		return next
	}
	hold("the fleet says so")
	next := hold("another rule does")
	if g.value("x") != "one" || g.value("a") != "two" {
		t.Errorf("x = %q, a = %q; what is on hold stays, and the rest goes on", g.value("x"), g.value("a"))
	}
	if settled := s.Settled(next); len(settled) != 0 {
		t.Errorf("with a prune held, %v are settled", settled)
	}
	if settled := s.Settled(first); len(settled) != 0 {
		t.Errorf("of what was given before, %v are settled", settled)
	}
	if err := s.Confirm(t.Context(), s.State().Apps[0].Held.Digest); err != nil {
		t.Fatal(err)
	}
	g.until("what was confirmed is deleted", func() bool { return g.value("x") == "" })
	g.until("it is settled", func() bool { return s.Settled(next)["web"] == next.Apps[0].Bundle.Digest })
	stop()
	s, _ = g.spoke("second")
	g.until("another spoke finds that it was applied", func() bool { return slices.Contains(s.Found(), "web") })
}

// An app in error has what was last accepted of it, by a spoke that is new too.
func TestErrorWithWhatWasLastAccepted(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("first")
	last := g.desired("web", g.configMap("a", "one"))
	last.Err = errBroken
	other := g.desired("other", g.configMap("b", "one"), g.configMap("c", "one"))
	s.Assign(assigned(other, last))
	g.until("it is applied", func() bool { return g.value("a") == "one" && g.value("c") == "one" })
	g.until("and Unknown", func() bool {
		apps := s.State().Apps
		return len(apps) == 2 && apps[1].Sync == Unknown && apps[1].Objects == 1 && strings.Contains(apps[1].Message, errBroken.Error())
	})
	g.delete("a")
	g.until("it is repaired", func() bool { return g.value("a") == "one" })
	s.Assign(assigned(g.desired("other", g.configMap("b", "one")), last))
	g.until("the other app prunes", func() bool { return g.value("c") == "" })
	s.Assign(assigned(g.desired("other", g.configMap("b", "one")), app.Desired{Name: "web", Err: errBroken}))
	g.delete("a")
	g.until("it is repaired by what the spoke knows itself", func() bool { return g.value("a") == "one" })
}

// TestMovedIntoAnAppInError moves an object to an app that is in error by the time
// the spoke hears of it. Who assigns has seen the move before: neither the app that
// gave the object up nor anybody else deletes it.
func TestMovedIntoAnAppInError(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("first")
	a, b, c, moved := g.configMap("a", "one"), g.configMap("b", "one"), g.configMap("c", "one"), g.configMap("moved", "one")
	s.Assign(assigned(g.desired("from", a, c, moved), g.desired("to", b)))
	g.synced(s)
	broken := g.desired("to", b, moved)
	broken.Err = errBroken
	s.Assign(assigned(g.desired("from", a), broken))
	g.until("what nobody has is deleted", func() bool { return g.value("c") == "" })
	if g.value("moved") != "one" {
		t.Error("what the app in error may have was deleted")
	}
	s.Assign(assigned(g.desired("from", a), g.desired("to", b)))
	g.until("what nobody has any more is deleted", func() bool { return g.value("moved") == "" })
}

// TestDriftFromBeforeCorrection has an app correct drift from now on: what somebody
// added before goes, also what the syncs meanwhile took for the state of things.
func TestDriftFromBeforeCorrection(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("first")
	web := func(value string, correct bool) *Assigned {
		desired := g.desired("web", g.configMap("a", value))
		desired.Options.CorrectDrift = correct
		return assigned(desired)
	}
	s.Assign(web("one", false))
	g.synced(s)
	configMaps := g.person.CoreV1().ConfigMaps(g.namespace)
	added := []byte(`{"data":{"by-hand":"yes"}}`)
	if _, err := configMaps.Patch(t.Context(), "a", types.MergePatchType, added, metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	s.Assign(web("two", false))
	g.until("it is applied", func() bool { return g.value("a") == "two" && appOf(s).Message != "syncing" })
	s.Assign(web("two", true))
	g.until("what was added is removed", func() bool {
		a, err := configMaps.Get(t.Context(), "a", metav1.GetOptions{})
		return err == nil && a.Data["by-hand"] == ""
	})
	g.synced(s)
}
