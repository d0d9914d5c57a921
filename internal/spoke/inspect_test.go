package spoke

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"nave.dev/internal/change"
	"nave.dev/internal/health"
)

func TestDiff(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("first")
	g.until("the loop answers", func() bool {
		_, err := s.Diff(t.Context(), "")
		return err != nil && strings.Contains(err.Error(), "not been assigned")
	})
	s.Assign(assigned(g.desired("web", g.configMap("a", "one")), g.desired("other", g.configMap("b", "one"))))
	g.synced(s)
	diff := func(of *Spoke, name string) []AppDiff {
		t.Helper()
		diffs, err := of.Diff(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return diffs
	}
	if diffs := diff(s, ""); len(diffs) != 2 || diffs[0].App != "other" || len(diffs[0].Changes)+len(diffs[1].Changes) != 0 || diffs[1].Error != "" {
		t.Errorf("of what is Synced: %+v", diffs)
	}
	if _, err := s.Diff(t.Context(), "wbe"); err == nil || !strings.Contains(err.Error(), "no app \"wbe\"\nhint: nave apps --cluster ") {
		t.Errorf("of an app that is not there: %v", err)
	}
	// While it is paused, and from beside the writer.
	if err := s.Pause(t.Context(), Pause{App: "web", Until: time.Now().Add(time.Hour), Actor: "test", Reason: "looking"}); err != nil {
		t.Fatal(err)
	}
	maps := g.person.CoreV1().ConfigMaps(g.namespace)
	live, err := maps.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	live.Data["key"] = "by hand"
	if live, err = maps.Update(t.Context(), live, metav1.UpdateOptions{FieldManager: "person"}); err != nil {
		t.Fatal(err)
	}
	second, _ := g.spoke("second")
	second.Assign(assigned(g.desired("web", g.configMap("a", "one"), g.configMap("c", "one"))))
	g.until("the second knows who writes", func() bool { return second.State().Holder == "first" && len(second.State().Apps) == 1 })
	for name, c := range map[string]struct {
		spoke   *Spoke
		changes int
		note    string
	}{"the writer": {s, 1, "looking"}, "who does not write": {second, 2, "looking"}} {
		diffs := diff(c.spoke, "web")
		if len(diffs) != 1 || len(diffs[0].Changes) != c.changes || !strings.Contains(diffs[0].Note, c.note) {
			t.Fatalf("%s: %+v", name, diffs)
		}
		updated := diffs[0].Changes.With(change.Updated)
		if len(updated) != 1 || len(updated[0].Fields) != 1 || updated[0].Fields[0].From != "by hand" || updated[0].Fields[0].To != "one" || updated[0].Fields[0].Manager != "person" {
			t.Errorf("%s: %+v", name, diffs[0].Changes)
		}
	}
	after, err := maps.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || after.ResourceVersion != live.ResourceVersion || g.value("c") != "" {
		t.Errorf("something was written: %v, %v", after, err)
	}
}

func TestOrphans(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("first")
	web := g.desired("web", g.configMap("a", "one"))
	s.Assign(assigned(web, g.desired("other", g.configMap("b", "one"))))
	g.synced(s)
	orphans := func() []Orphan {
		t.Helper()
		found, err := s.Orphans(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(found, func(o Orphan) bool { return o.Object.Namespace != g.namespace }) // what other tests left
	}
	if found := orphans(); len(found) != 0 {
		t.Errorf("while all apps are assigned: %v", found)
	}
	s.Assign(assigned(web))
	g.until("it is noted that other left", func() bool { return !g.record().Left["other"].IsZero() })
	left := g.record().Left["other"]
	found := orphans()
	if len(found) != 1 || found[0].Object.Name != "b" || found[0].App != "other" || found[0].Cluster != "one" || !found[0].Since.Equal(left) {
		t.Errorf("after other left: %+v", found)
	}
	incomplete := assigned(web)
	incomplete.Incomplete = errors.New("a file cannot be read")
	s.Assign(incomplete)
	g.until("what cannot be told is no orphan", func() bool {
		_, err := s.Orphans(t.Context())
		return err != nil && strings.Contains(err.Error(), "a file cannot be read")
	})
	s.Assign(assigned(web, g.desired("other", g.configMap("b", "two"))))
	g.until("it is back", func() bool { return g.value("b") == "two" })
	if found := orphans(); len(found) != 0 || len(g.record().Left) != 0 {
		t.Errorf("after other came back: %v, %v", found, g.record().Left)
	}
}

func TestOtherChecks(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("first")
	s.Assign(assigned(g.desired("web", g.configMap("a", "one"))))
	g.synced(s)
	g.until("it is Healthy", func() bool { return s.State().Health.Status == health.Healthy })
	own, err := NewChecker(fstest.MapFS{"checks/core/ConfigMap/health.lua": {Data: []byte(`return {status = "Degraded", message = "key is " .. obj.data.key}`)}}, "checks")
	if err != nil {
		t.Fatal(err)
	}
	s.Judge(own)
	g.until("the fleet's check counts", func() bool {
		h := s.State().Health
		return h.Status == health.Degraded && strings.Contains(describe(s.State()), "key is one")
	})
	// What happens later is seen as before.
	g.delete("a")
	g.until("a deletion is undone", func() bool { return g.value("a") == "one" })
	s.Judge(g.checker)
	g.until("the check is gone", func() bool { return s.State().Health.Status == health.Healthy })
	g.delete("a")
	g.until("a deletion is undone", func() bool { return g.value("a") == "one" })
}

func TestFactsFollowDefinitions(t *testing.T) {
	g := on(t)
	var told atomic.Int64
	kind := schema.GroupKind{Group: "facts.example.org", Kind: "Gear"}
	s := New(Options{Cluster: "one", Fleet: "fleet", Config: g.env.Config, Health: g.checker, Writer: "first",
		Listener: Listener{FactsChanged: func(string) { told.Add(1) }}})
	done := make(chan struct{})
	go func() { defer close(done); s.Run(t.Context()) }()
	t.Cleanup(func() { <-done })
	s.Assign(assigned(g.desired("web", g.configMap("a", "one"))))
	g.synced(s)
	person, err := dynamic.NewForConfig(g.env.Config)
	if err != nil {
		t.Fatal(err)
	}
	definitions := person.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	if _, known := s.Facts().Namespaced(kind); known {
		t.Fatal("the kind is known before it is defined")
	}
	_, err = definitions.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "gears." + kind.Group},
		"spec": map[string]any{
			"group": kind.Group, "scope": "Cluster", "names": map[string]any{"kind": kind.Kind, "plural": "gears", "singular": "gear", "listKind": "GearList"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object"}}}},
		},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g.until("the new kind is known", func() bool {
		namespaced, known := s.Facts().Namespaced(kind)
		return known && !namespaced && told.Load() > 0
	})
	before := told.Load()
	if err := definitions.Delete(t.Context(), "gears."+kind.Group, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	g.until("it is known to be gone", func() bool {
		_, known := s.Facts().Namespaced(kind)
		return !known && told.Load() > before
	})
}
