package soak

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

func TestCompare(t *testing.T) {
	shop := func(name string) ref { return ref{configMaps, "shop", name} }
	c := &cluster{name: "one", objects: map[ref]types.UID{shop("a"): "1", shop("b"): "2"}, deleted: map[ref]bool{shop("b"): true}}
	added := func(r ref) bool { return r.name == "soak-3" }
	for _, test := range []struct {
		reason string
		now    map[ref]types.UID
		want   []string
	}{
		{"as before", map[ref]types.UID{shop("a"): "1", shop("b"): "2"}, nil},
		{"the driver deleted it", map[ref]types.UID{shop("a"): "1", shop("b"): "3"}, nil},
		{"nobody deleted it", map[ref]types.UID{shop("a"): "3", shop("b"): "2"}, []string{"configmaps shop/a of one was deleted and made again, and nobody deleted it"}},
		{"gone", map[ref]types.UID{shop("a"): "1"}, []string{"configmaps shop/b of one is lost"}},
		{"one more, by a commit", map[ref]types.UID{shop("a"): "1", shop("b"): "2", shop("soak-3"): "4"}, nil},
		{"one more, by no commit", map[ref]types.UID{shop("a"): "1", shop("b"): "2", shop("soak-4"): "4"}, []string{"configmaps shop/soak-4 of one is there, and no commit says so"}},
	} {
		if diff := cmp.Diff(test.want, c.compare(test.now, added)); diff != "" {
			t.Errorf("%s: %s", test.reason, diff)
		}
	}
}

func TestConcerns(t *testing.T) {
	object := ref{deployments, "shop", "cart"}
	having, without := map[ref]types.UID{object: "1"}, map[ref]types.UID{}
	for _, test := range []struct {
		reason  string
		e       expectation
		env     string
		objects map[ref]types.UID
		want    bool
	}{
		{"a field everywhere", expectation{object: object, field: "image"}, "dev", having, true},
		{"a field, where the object is not", expectation{object: object, field: "image"}, "dev", without, false},
		{"a field of the environment", expectation{object: object, field: "image", envs: []string{"prod", "dr"}}, "dr", having, true},
		{"a field of another environment", expectation{object: object, field: "image", envs: []string{"prod"}}, "dr", having, false},
		{"an object that comes", expectation{object: object, field: existence, envs: []string{"dr"}}, "dr", without, true},
	} {
		if got := test.e.concerns(&cluster{env: test.env, objects: test.objects}); got != test.want {
			t.Errorf("%s: %v", test.reason, got)
		}
	}
}

func TestIsMarked(t *testing.T) {
	marked := func(kind, namespace, name, identity string) bool {
		u := &unstructured.Unstructured{Object: map[string]any{"kind": kind}}
		u.SetNamespace(namespace)
		u.SetName(name)
		u.SetAnnotations(map[string]string{identityAnnotation: identity})
		return isMarked(u)
	}
	if !marked("ConfigMap", "shop", "cart", "v1 ConfigMap shop/cart") || !marked("Namespace", "", "shop", "v1 Namespace shop") {
		t.Error("marks of an object itself do not count")
	}
	if marked("Pod", "shop", "cart-1", "apps Deployment shop/cart") || marked("ConfigMap", "other", "cart", "v1 ConfigMap shop/cart") {
		t.Error("copied marks count")
	}
}

func TestEdit(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "apps", "cart", "overlays", "staging", "kustomization.yaml")
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("replicas:\n- {name: cart, count: 2}\nimages:\n- newTag: v1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	staging := &cluster{name: "one", env: "staging", objects: map[ref]types.UID{{deployments, "shop", "cart"}: "1"}}
	possible := edits(dir, []*cluster{staging})
	if len(possible) != 2 {
		t.Fatalf("%d edits are possible, want those of the image and of the replicas", len(possible))
	}
	for _, e := range possible {
		expected, err := e.apply(dir, 7)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]string{"image": "soak-7", "replicas": "3"}[e.field]; expected.want != want || !expected.concerns(staging) {
			t.Errorf("%s: %q is expected, want %q", e.what, expected.want, want)
		}
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if want := "replicas:\n- {name: cart, count: 3}\nimages:\n- newTag: soak-7\n"; string(data) != want {
		t.Errorf("edited to %q, want %q", data, want)
	}
	if edits(dir, []*cluster{{env: "prod"}}) != nil {
		t.Error("an edit that no cluster shows is possible")
	}
}

func TestReadsOfEdits(t *testing.T) {
	deployment := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"replicas": int64(3),
		"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"image": "registry.example.com:5000/shop/cart:soak-7"}}}},
	}}}
	if got := dig(containers(deployment), 0, "image"); !strings.HasSuffix(got.(string), ":soak-7") {
		t.Errorf("image %v", got)
	}
	if got := dig(containers(deployment), 1, "image"); got != nil {
		t.Errorf("image of no container: %v", got)
	}
	if got := replicas("", ref{}, "").read(deployment); got != "3" {
		t.Errorf("replicas %s", got)
	}
}

func TestUndisturbed(t *testing.T) {
	for _, test := range []struct {
		reason      string
		before, now int
		want        bool
	}{
		{"no restart", 2, 2, true},
		{"a restart that began", 2, 3, false},
		{"a restart that began and ended", 2, 4, false},
		{"within one restart", 3, 3, false},
		{"a restart that ended", 3, 4, false},
	} {
		if got := (&world{restarts: test.now}).undisturbed(test.before); got != test.want {
			t.Errorf("%s: %v", test.reason, got)
		}
	}
}
