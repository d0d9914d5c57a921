package told

import (
	"testing"
	"time"

	"nave.dev/internal/app"
)

// TestInputs changes one thing after the other.
func TestInputs(t *testing.T) {
	facts := func() app.Facts {
		return app.Facts{KubernetesVersion: "v1.36.3", APIVersions: []string{"v1", "apps/v1"}, Scopes: map[string]bool{"Node": false}, Resources: map[string]string{"Ingress": "ingresses"}}
	}
	settled := func() map[string]string { return map[string]string{"web": "a", "db": "b"} }
	first := Inputs("one", true, facts(), []string{"web"}, settled())
	if again := Inputs("one", true, facts(), []string{"web"}, settled()); again != first {
		t.Errorf("the same has the digests %d and %d", first, again)
	}
	change := func(do func(*app.Facts)) app.Facts {
		f := facts()
		do(&f)
		return f
	}
	seen := map[uint64]string{first: "nothing"}
	for reason, sum := range map[string]uint64{
		"the cluster":         Inputs("two", true, facts(), []string{"web"}, settled()),
		"not known":           Inputs("one", false, facts(), []string{"web"}, settled()),
		"found nothing":       Inputs("one", true, facts(), []string{}, settled()),
		"nobody looked":       Inputs("one", true, facts(), nil, settled()),
		"another found":       Inputs("one", true, facts(), []string{"web", "db"}, settled()),
		"nothing settled":     Inputs("one", true, facts(), []string{"web"}, nil),
		"settled on another":  Inputs("one", true, facts(), []string{"web"}, map[string]string{"web": "a", "db": "c"}),
		"settled crosswise":   Inputs("one", true, facts(), []string{"web"}, map[string]string{"web": "b", "db": "a"}),
		"version":             Inputs("one", true, change(func(f *app.Facts) { f.KubernetesVersion = "v1.36.4" }), []string{"web"}, settled()),
		"one kind more":       Inputs("one", true, change(func(f *app.Facts) { f.APIVersions = append(f.APIVersions, "batch/v1") }), []string{"web"}, settled()),
		"a kind of a cluster": Inputs("one", true, change(func(f *app.Facts) { f.Scopes["Node"] = true }), []string{"web"}, settled()),
		"name of a resource":  Inputs("one", true, change(func(f *app.Facts) { f.Resources["Ingress"] = "gates" }), []string{"web"}, settled()),
	} {
		if other, ok := seen[sum]; ok {
			t.Errorf("%s has the digest of %s", reason, other)
		}
		seen[sum] = reason
	}
	if Sum(1, 2) == Sum(2, 1) {
		t.Error("the order of numbers makes no difference")
	}
}

func TestHolds(t *testing.T) {
	for _, c := range []struct {
		reason string
		last   Compilation
		want   bool
	}{
		{"none", Compilation{Inputs: 7}, false},
		{"a moment ago", Compilation{At: time.Now(), Inputs: 7}, true},
		{"of other inputs", Compilation{At: time.Now(), Inputs: 8}, false},
		{"long ago", Compilation{At: time.Now().Add(-recompiling), Inputs: 7}, false},
	} {
		if c.last.Holds(7) != c.want {
			t.Errorf("%s: holds is %t", c.reason, !c.want)
		}
	}
}
