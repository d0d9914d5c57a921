package spoke

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
)

// inWave is a ConfigMap of a wave.
func (g *ground) inWave(wave, name, value string) *unstructured.Unstructured {
	u := g.configMap(name, value)
	u.SetAnnotations(map[string]string{"nave.dev/wave": wave})
	return u
}

// broken is an app that its limits keep from being Synced.
func (g *ground) broken(name string) app.Desired {
	d := g.desired(name, g.configMap(name, "one"))
	d.Options.Limits.Namespaces = []string{"elsewhere"}
	return d
}

// A wave of an app waits for other apps, the waves before it do not, and what it
// has brought about already is kept.
func TestGates(t *testing.T) {
	g := on(t)
	s, stop := g.spoke("a")
	root := func(value string) app.Desired {
		d := g.desired("root", g.inWave("0", "first", value), g.inWave("1", "second", value))
		d.Options.Gates = []app.Gate{{Wave: 1, Apps: []string{"child", "other"}}}
		return d
	}
	other := g.desired("other", g.configMap("other", "one"))
	s.Assign(assigned(g.broken("child"), other, root("one")))
	g.waits(s, "root", "wave 1 waits for child to be Synced and Healthy")
	if g.value("first") != "one" || g.value("second") != "" {
		t.Fatalf("first %q, second %q", g.value("first"), g.value("second"))
	}
	child := g.desired("child", g.configMap("child", "one"))
	s.Assign(assigned(child, other, root("one")))
	g.synced(s)
	if g.value("second") != "one" {
		t.Fatal("the wave did not come")
	}

	// The gate closes: a commit waits, what others change does not.
	s.Assign(assigned(g.broken("child"), other, root("two")))
	g.waits(s, "root", "wave 1 waits for child")
	if g.value("first") != "two" || g.value("second") != "one" {
		t.Fatalf("first %q, second %q", g.value("first"), g.value("second"))
	}
	s.Assign(assigned(g.broken("child"), other, root("one")))
	g.until("root is as it was", func() bool { return g.value("first") == "one" && stateOf(s, "root").Sync == Synced })
	correct := func(when string) {
		t.Helper()
		g.delete("second")
		g.until("what was deleted is made again "+when, func() bool { return g.value("second") == "one" })
		u, err := g.person.CoreV1().ConfigMaps(g.namespace).Get(t.Context(), "second", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		u.Data["key"] = "mine"
		if _, err := g.person.CoreV1().ConfigMaps(g.namespace).Update(t.Context(), u, metav1.UpdateOptions{FieldManager: "kubectl-edit"}); err != nil {
			t.Fatal(err)
		}
		g.until("what was changed is corrected "+when, func() bool { return g.value("second") == "one" })
	}
	correct("while the gate is closed")
	stop()
	s, _ = g.spoke("b")
	s.Assign(assigned(g.broken("child"), other, root("one")))
	g.until("a process that knows nothing finds it in place", func() bool { return stateOf(s, "root").Sync == Synced })
	correct("after a restart")
}

// A child waits for the objects of lower waves of the app that asks for it, and
// for no others of it.
func TestAfter(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("a")
	root := func(limits ...string) app.Desired {
		d := g.desired("root", g.inWave("0", "first", "one"), g.inWave("2", "last", "one"))
		d.Options.Gates = []app.Gate{{Wave: 2, Apps: []string{"child"}}}
		d.Options.Limits.Namespaces = limits
		return d
	}
	child := g.desired("child", g.configMap("child", "one"))
	child.Options.After = []app.Precedence{{App: "root", Wave: 1}}
	s.Assign(assigned(child, root("elsewhere")))
	g.waits(s, "child", "first of root to be Synced")
	s.Assign(assigned(child, root()))
	g.synced(s)
	if g.value("child") != "one" || g.value("last") != "one" {
		t.Errorf("child %q, last %q", g.value("child"), g.value("last"))
	}
	s.Assign(assigned(child))
	child.Options.After = []app.Precedence{{App: "nobody", Wave: 1}}
	s.Assign(assigned(child))
	g.delete("child")
	g.until("drift is corrected whatever comes first", func() bool { return g.value("child") == "one" })
}

func TestRetry(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("a")
	refused := g.broken("web")
	refused.Options.Retry = &app.Retry{Limit: 2, First: time.Second, Factor: 1}
	s.Assign(assigned(refused))
	g.waits(s, "web", "given up after 2 retries")
	last := stateOf(s, "web").SyncedAt
	if err := s.Sync(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	g.until("a person has it tried again", func() bool { return stateOf(s, "web").SyncedAt.After(last) })
	g.waits(s, "web", "given up after 2 retries")
}
