package app

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/object"
)

func TestPermits(t *testing.T) {
	const namespaced, clusterWide, unknown = "namespaced", "cluster-wide", "unknown"
	tests := []struct {
		reason string
		limits Limits
		object string
		scope  string
		want   string // in the reason; empty: permitted
	}{
		{"no limits", Limits{}, "rbac.authorization.k8s.io/ClusterRole admin", clusterWide, ""},
		{"no limits on what is not known", Limits{}, "example.com/Thing a", unknown, ""},

		{"a namespace that is listed", Limits{Namespaces: []string{"cart", "shop"}}, "ConfigMap shop/a", namespaced, ""},
		{"one that is not", Limits{Namespaces: []string{"cart", "shop"}}, "ConfigMap kube-system/a", namespaced, `limits allow the namespaces cart, shop, not "kube-system"`},
		{"a pattern", Limits{Namespaces: []string{"shop-*"}}, "ConfigMap shop-eu/a", namespaced, ""},
		{"a pattern is about the whole name", Limits{Namespaces: []string{"shop-*"}}, "ConfigMap my-shop-eu/a", namespaced, `not "my-shop-eu"`},
		{"a namespace is touched like what is in it", Limits{Namespaces: []string{"shop"}}, "Namespace shop", clusterWide, ""},
		{"so another one is not", Limits{Namespaces: []string{"shop"}}, "Namespace kube-system", clusterWide, `not "kube-system"`},
		{"a Namespace of another group is none", Limits{Namespaces: []string{"shop"}}, "example.com/Namespace a", clusterWide, ""},
		{"namespaces do not limit cluster-wide kinds", Limits{Namespaces: []string{"shop"}}, "rbac.authorization.k8s.io/ClusterRole admin", clusterWide, ""},
		{"unless that is not known", Limits{Namespaces: []string{"shop"}}, "example.com/Thing a", unknown, `not ""`},
		{"what is not known and states a namespace is in it", Limits{Namespaces: []string{"shop"}}, "example.com/Thing shop/a", unknown, ""},
		{"a namespaced object that states none", Limits{Namespaces: []string{"shop"}}, "ConfigMap a", namespaced, `not ""`},

		{"namespaced kinds only", Limits{NamespacedOnly: true}, "ConfigMap shop/a", namespaced, ""},
		{"a cluster-wide one", Limits{NamespacedOnly: true}, "rbac.authorization.k8s.io/ClusterRoleBinding a", clusterWide, "limits allow only namespaced kinds, and ClusterRoleBinding is cluster-wide"},
		{"a namespace is cluster-wide itself", Limits{NamespacedOnly: true, Namespaces: []string{"shop"}}, "Namespace shop", clusterWide, "Namespace is cluster-wide"},
		{"an unknown one may be cluster-wide, whatever it states", Limits{NamespacedOnly: true}, "example.com/Thing shop/a", unknown, "whether Thing is one is not known"},

		{"a kind of any group", Limits{Kinds: []string{"Secret", "Deployment"}}, "apps/Deployment shop/a", namespaced, ""},
		{"a kind that is not listed", Limits{Kinds: []string{"Secret", "Deployment.apps"}}, "ConfigMap shop/a", namespaced, "limits allow the kinds Secret, Deployment.apps, not ConfigMap"},
		{"a kind and its group", Limits{Kinds: []string{"Ingress.networking.k8s.io"}}, "networking.k8s.io/Ingress shop/a", namespaced, ""},
		{"the same kind of another group", Limits{Kinds: []string{"Ingress.networking.k8s.io"}}, "example.com/Ingress shop/a", namespaced, "not Ingress.example.com"},
		{"all kinds of a group", Limits{Kinds: []string{"*.apps"}}, "apps/StatefulSet shop/a", namespaced, ""},
		{"of that group alone", Limits{Kinds: []string{"*.apps"}}, "batch/Job shop/a", namespaced, "not Job.batch"},
		{"any kind", Limits{Kinds: []string{"*"}}, "batch/Job shop/a", namespaced, ""},
		{"kinds are no patterns otherwise", Limits{Kinds: []string{"Config*"}}, "ConfigMap shop/a", namespaced, "not ConfigMap"},
		{"case counts", Limits{Kinds: []string{"configmap"}}, "ConfigMap shop/a", namespaced, "not ConfigMap"},
		{"a listed kind does not open other namespaces", Limits{Kinds: []string{"ConfigMap"}, Namespaces: []string{"shop"}}, "ConfigMap cart/a", namespaced, `not "cart"`},
		{"a listed kind is not thereby namespaced", Limits{Kinds: []string{"ClusterRole"}, NamespacedOnly: true}, "rbac.authorization.k8s.io/ClusterRole a", clusterWide, "is cluster-wide"},
	}
	for _, test := range tests {
		id, err := object.Parse(test.object)
		if err != nil {
			t.Fatal(err)
		}
		reason, ok := test.limits.Permits(id, test.scope == namespaced, test.scope != unknown)
		if ok != (test.want == "") || ok != (reason == "") || !strings.Contains(reason, test.want) {
			t.Errorf("%s: %v, %q, want %q", test.reason, ok, reason, test.want)
		}
	}
}

func TestNamespaced(t *testing.T) {
	facts := Facts{Scopes: map[string]bool{"ConfigMap": true, "Thing.example.com": false}}
	tests := []struct {
		kind              schema.GroupKind
		namespaced, known bool
	}{
		{schema.GroupKind{Kind: "ConfigMap"}, true, true},
		{schema.GroupKind{Group: "example.com", Kind: "Thing"}, false, true},
		{schema.GroupKind{Kind: "Thing"}, false, false},
	}
	for _, test := range tests {
		if namespaced, known := facts.Namespaced(test.kind); namespaced != test.namespaced || known != test.known {
			t.Errorf("%s: %v, %v", test.kind, namespaced, known)
		}
	}
	if _, known := (Facts{}).Namespaced(schema.GroupKind{Kind: "ConfigMap"}); known {
		t.Error("nothing is known, and yet something is")
	}
}

func configMap(namespace, name string, data map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": namespace, "name": name}, "data": data,
	}}
}

func bundle(tb testing.TB, objects, hooks []*unstructured.Unstructured) *Bundle {
	tb.Helper()
	b, err := NewBundle(objects, hooks)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestNewBundle(t *testing.T) {
	a, b := configMap("shop", "a", map[string]any{"x": "1"}), configMap("shop", "b", nil)
	a.SetResourceVersion("7")
	first := configMap("shop", "early", nil)
	first.SetAnnotations(map[string]string{object.WaveAnnotation: "-1"})
	have := bundle(t, []*unstructured.Unstructured{b, a, first}, []*unstructured.Unstructured{b})
	var names []string
	for _, u := range have.Objects {
		names = append(names, u.GetName())
	}
	if !slices.Equal(names, []string{"early", "a", "b"}) || len(have.Hooks) != 1 {
		t.Errorf("the objects are %v, the hooks %v", names, have.Hooks)
	}
	if have.Objects[1].GetResourceVersion() != "" || a.GetResourceVersion() != "7" {
		t.Errorf("the bundle has %v, made of %v", have.Objects[1].Object, a.Object)
	}
}

func TestNewBundleRefusesDuplicates(t *testing.T) {
	other := configMap("shop", "a", map[string]any{"x": "2"})
	other.SetAPIVersion("v2") // the version is no part of the identity
	_, err := NewBundle([]*unstructured.Unstructured{configMap("shop", "a", nil), configMap("cart", "a", nil), other}, nil)
	duplicate, ok := errors.AsType[*DuplicateError](err)
	if !ok || duplicate.ID != (object.ID{Kind: "ConfigMap", Namespace: "shop", Name: "a"}) || err.Error() != "ConfigMap shop/a is there twice" {
		t.Errorf("the error is %v", err)
	}
	hook := configMap("shop", "a", nil)
	if _, err := NewBundle([]*unstructured.Unstructured{configMap("shop", "a", nil)}, []*unstructured.Unstructured{hook, hook}); err != nil {
		t.Errorf("hooks are not kept, and none is a duplicate: %v", err)
	}
}

func TestBundleDigest(t *testing.T) {
	generated := func(image string) *unstructured.Unstructured {
		u := configMap("shop", "", map[string]any{"image": image})
		u.SetGenerateName("migrate-")
		return u
	}
	objects := []*unstructured.Unstructured{
		configMap("shop", "a", map[string]any{"x": "1"}), configMap("shop", "b", nil), configMap("cart", "a", nil),
	}
	hooks := []*unstructured.Unstructured{generated("a:1"), generated("b:1"), generated("c:1")}
	want := bundle(t, objects, hooks).Digest

	shuffle := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		objects, hooks := slices.Clone(objects), slices.Clone(hooks)
		shuffle.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
		shuffle.Shuffle(len(hooks), func(i, j int) { hooks[i], hooks[j] = hooks[j], hooks[i] })
		if have := bundle(t, objects, hooks).Digest; have != want {
			t.Fatal("the order in which objects are given shows in the digest")
		}
	}
	fromCluster := objects[0].DeepCopy()
	fromCluster.SetUID("u")
	fromCluster.Object["status"] = map[string]any{}
	if have := bundle(t, []*unstructured.Unstructured{fromCluster, objects[1], objects[2]}, hooks).Digest; have != want {
		t.Error("what only a server writes shows in the digest")
	}
	changed := configMap("shop", "a", map[string]any{"x": "2"})
	for reason, other := range map[string]*Bundle{
		"a value":                 bundle(t, []*unstructured.Unstructured{changed, objects[1], objects[2]}, hooks),
		"an object less":          bundle(t, objects[:2], hooks),
		"a hook less":             bundle(t, objects, hooks[:2]),
		"an object that's a hook": bundle(t, objects[:2], append(slices.Clone(hooks), objects[2])),
		"nothing":                 bundle(t, nil, nil),
	} {
		if other.Digest == want {
			t.Errorf("%s does not show in the digest", reason)
		}
	}
}

func TestAssignmentDigest(t *testing.T) {
	one := bundle(t, []*unstructured.Unstructured{configMap("shop", "a", nil)}, nil)
	build := func(change func(a *Assignment)) *Assignment {
		a := &Assignment{Cluster: "prod-eu-1", Fleet: "acme", Apps: []Desired{
			{Name: "web", Bundle: one, Options: Options{Prune: true}}, {Name: "api", Bundle: one},
		}}
		change(a)
		a.Sort()
		return a
	}
	want := build(func(*Assignment) {}).Digest()
	tests := []struct {
		reason string
		change func(a *Assignment)
		equal  bool
	}{
		{"the order in which apps were found", func(a *Assignment) { slices.Reverse(a.Apps) }, true},
		{"an equal bundle of another commit", func(a *Assignment) {
			a.Apps[0].Bundle = bundle(t, []*unstructured.Unstructured{configMap("shop", "a", nil)}, nil)
		}, true},
		{"what an error says", func(a *Assignment) { a.Incomplete = errors.New("at commit 1") }, true},

		{"another fleet, whose name is in the marks", func(a *Assignment) { a.Fleet = "other" }, false},
		{"another name", func(a *Assignment) { a.Apps[0].Name = "www" }, false},
		{"an app less", func(a *Assignment) { a.Apps = a.Apps[:1] }, false},
		{"another bundle", func(a *Assignment) { a.Apps[0].Bundle = bundle(t, nil, nil) }, false},
		{"no bundle", func(a *Assignment) { a.Apps[0].Bundle = nil }, false},
		{"an option", func(a *Assignment) { a.Apps[0].Options.Prune = false }, false},
		{"a nested option", func(a *Assignment) { a.Apps[0].Options.Limits.NamespacedOnly = true }, false},
		{"a deadline", func(a *Assignment) { a.Apps[0].Options.Deadline = time.Second }, false},
	}
	for _, test := range tests {
		if have := build(test.change).Digest(); (have == want) != test.equal {
			t.Errorf("%s: equal digests: %v", test.reason, have == want)
		}
	}
}

func TestSnapshotID(t *testing.T) {
	want := Snapshot{Fleet: "c0", Sources: map[string]string{"a@branch:main": "c1", "b@tag:v1": "c2"}}.ID()
	if have := (Snapshot{Fleet: "c0", Sources: map[string]string{"b@tag:v1": "c2", "a@branch:main": "c1"}}).ID(); have != want {
		t.Errorf("one snapshot has two names, %s and %s", have, want)
	}
	if (Snapshot{Fleet: "c0"}).ID() != (Snapshot{Fleet: "c0", Sources: map[string]string{}}).ID() {
		t.Error("no sources are not no sources")
	}
	for reason, other := range map[string]Snapshot{
		"another commit of the fleet": {Fleet: "c9", Sources: map[string]string{"a@branch:main": "c1", "b@tag:v1": "c2"}},
		"another commit of a source":  {Fleet: "c0", Sources: map[string]string{"a@branch:main": "c9", "b@tag:v1": "c2"}},
		"another revision":            {Fleet: "c0", Sources: map[string]string{"a@branch:dev": "c1", "b@tag:v1": "c2"}},
		"a source less":               {Fleet: "c0", Sources: map[string]string{"a@branch:main": "c1"}},
		"commits swapped":             {Fleet: "c0", Sources: map[string]string{"a@branch:main": "c2", "b@tag:v1": "c1"}},
	} {
		if other.ID() == want {
			t.Errorf("%s does not show in the name", reason)
		}
	}
}

func TestEncodeBundle(t *testing.T) {
	u := func(name string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name}, "count": int64(1) << 60, "share": 0.5,
		}}
	}
	for _, hooks := range [][]*unstructured.Unstructured{nil, {u("h"), u("h")}} {
		bundle, err := NewBundle([]*unstructured.Unstructured{u("b"), u("a")}, hooks, EncryptedFile{"b.yaml", []byte("two")}, EncryptedFile{"a.yaml", []byte("one")})
		if err != nil {
			t.Fatal(err)
		}
		data, err := bundle.Encode()
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := DecodeBundle(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(bundle, decoded); diff != "" {
			t.Errorf("-want +have:\n%s", diff)
		}
		if _, err := DecodeBundle([]byte(strings.Replace(string(data), "0.5", "0.6", 1))); err == nil || !strings.Contains(err.Error(), "its content is that of") {
			t.Errorf("other content under the same name: %v", err)
		}
	}
}

func FuzzDecodeBundle(f *testing.F) {
	bundle, err := NewBundle([]*unstructured.Unstructured{{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a"}}}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	data, err := bundle.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	release, err := NewReleaseBundle(aRelease())
	if err == nil {
		data, err = release.Encode()
	}
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"digest":"x","objects":[null]}`))
	f.Add([]byte(`{"objects":[{"kind":"List","apiVersion":"v1","items":[{}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		bundle, err := DecodeBundle(data)
		if err != nil {
			return
		}
		again, err := bundle.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if same, err := DecodeBundle(again); err != nil || same.Digest != bundle.Digest {
			t.Errorf("what was decoded does not decode: %v", err)
		}
	})
}

func TestRestrain(t *testing.T) {
	o := Options{Prune: true, Limits: Limits{Namespaces: []string{"shop", "crm"}}, ServiceAccount: "shop/admin"}
	o.Restrain(Options{})
	if len(o.Limits.Namespaces) != 2 || o.ServiceAccount != "shop/admin" || o.Suspend {
		t.Errorf("what is not known changes something: %+v", o)
	}
	o.Restrain(Options{Suspend: true, ServiceAccount: "shop/deployer", Limits: Limits{Namespaces: []string{"shop"}}, Project: Limits{NamespacedOnly: true}})
	want := Options{Prune: true, Suspend: true, ServiceAccount: "shop/deployer", Limits: Limits{Namespaces: []string{"shop"}}, Project: Limits{NamespacedOnly: true}}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("got %+v, want %+v", o, want)
	}
}
