package family

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/desired/parts"
	"nave.dev/internal/object"
)

// projects is a dialect all of whose objects count for other Deliveries.
type projects struct{}

func (projects) Interprets(object.ID) bool                             { return true }
func (projects) Common(u *unstructured.Unstructured) (object.ID, bool) { return object.Of(u), true }
func (projects) MayAsk(options app.Options, all []asking.Object) bool  { return true }
func (projects) Read(asking.Request) asking.Result                     { return asking.Result{} }

// TestCommonIsToldByWhatMayBe: what was read while an app might have two objects is
// not what is read while it may have one of them.
func TestCommonIsToldByWhatMayBe(t *testing.T) {
	var asks []*unstructured.Unstructured
	for _, name := range []string{"one", "two"} {
		asks = append(asks, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": map[string]any{"name": name, "namespace": name},
		}})
	}
	g := &Grower{Dialects: []Dialect{projects{}}}
	commonWithin := func(namespaces ...string) shared {
		root := app.Spec{Name: "platform", Parts: make([]app.Part, 1), Options: app.Options{Limits: app.Limits{Namespaces: namespaces}}}
		return g.common([]*Tree{{Root: root, Asks: &parts.Split{Asks: asks, Digest: "same"}}})[0]
	}
	both, one, other := commonWithin("one", "two"), commonWithin("one"), commonWithin("two")
	if len(both.objects) != 2 || len(one.objects) != 1 || len(other.objects) != 1 {
		t.Fatalf("%d, %d and %d objects count", len(both.objects), len(one.objects), len(other.objects))
	}
	if slices.Equal(both.digests, one.digests) || slices.Equal(one.digests, other.digests) {
		t.Errorf("they are not told apart: %q, %q, %q", both.digests, one.digests, other.digests)
	}
}
