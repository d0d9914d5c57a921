package object

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// parse makes an object of YAML, with numbers as an API server's client has them.
func parse(tb testing.TB, text string) *unstructured.Unstructured {
	tb.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(data); err != nil {
		tb.Fatal(err)
	}
	return u
}

func TestIDAsText(t *testing.T) {
	tests := []struct {
		reason string
		id     ID
		text   string
	}{
		{"group and namespace", ID{"apps", "Deployment", "shop", "web"}, "apps/Deployment shop/web"},
		{"the core group is left out", ID{"", "ConfigMap", "shop", "settings"}, "ConfigMap shop/settings"},
		{"no namespace", ID{"rbac.authorization.k8s.io", "ClusterRole", "", "view"}, "rbac.authorization.k8s.io/ClusterRole view"},
		{"neither", ID{"", "Namespace", "", "shop"}, "Namespace shop"},
		{"names of roles are free", ID{"rbac.authorization.k8s.io", "Role", "shop", "system:on call | all"}, "rbac.authorization.k8s.io/Role shop/system:on call | all"},
	}
	for _, test := range tests {
		if text := test.id.String(); text != test.text {
			t.Errorf("%s: %+v is %q, want %q", test.reason, test.id, text, test.text)
		}
		if id, err := Parse(test.text); id != test.id || err != nil {
			t.Errorf("%s: %q is %+v, %v", test.reason, test.text, id, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, reason := range map[string]string{
		"":                        "nothing",
		"Deployment":              "no name",
		"Deployment ":             "an empty name",
		" web":                    "no kind",
		"apps/ web":               "an empty kind",
		"/Deployment web":         "an empty group, which is written without a slash",
		"Deployment /web":         "an empty namespace, which is written without a slash",
		"Deployment shop/":        "a namespace without a name",
		"apps/v1/Deployment web":  "a version, which identities do not have",
		"Deployment shop/web/pod": "a name with a slash",
	} {
		if id, err := Parse(text); err == nil || id != (ID{}) {
			t.Errorf("%s: %q is %+v, %v", reason, text, id, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"apps/Deployment shop/web", "Namespace shop", "Role a/b c", "a/b/c d", "K  n", "K /n", "\xff x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := Parse(text)
		if err != nil {
			return
		}
		if id.Kind == "" || id.Name == "" {
			t.Errorf("%q has no kind or no name: %+v", text, id)
		}
		if id.String() != text {
			t.Errorf("%q comes back as %q", text, id)
		}
	})
}

func TestCompare(t *testing.T) {
	ordered := []ID{
		{"", "Namespace", "", "shop"},
		{"rbac.authorization.k8s.io", "ClusterRole", "", "a"},
		{"", "Secret", "cart", "z"},
		{"", "ConfigMap", "shop", "b"},
		{"", "Secret", "shop", "a"},
		{"apps", "Deployment", "shop", "a"},
	}
	for i, a := range ordered {
		for j, b := range ordered {
			if have, want := Compare(a, b), Compare(ID{Name: string(rune('a' + i))}, ID{Name: string(rune('a' + j))}); have != want {
				t.Errorf("comparing %q with %q gives %d, want %d", a, b, have, want)
			}
		}
	}
}

func TestClean(t *testing.T) {
	tests := []struct{ reason, have, want string }{
		{
			reason: "what was read back from a cluster",
			have: `{apiVersion: apps/v1, kind: Deployment, status: {replicas: 3}, spec: {replicas: 3, template: {metadata: {labels: {}}, status: mine}},
metadata: {name: web, namespace: shop, uid: a, generation: 4, resourceVersion: "12", creationTimestamp: "2024-01-01T00:00:00Z", selfLink: /x,
managedFields: [{manager: kubectl}], deletionTimestamp: "2024-01-01T00:00:00Z", deletionGracePeriodSeconds: 30,
labels: {app: web}, annotations: {a: b}, finalizers: [x]}}`,
			want: `{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 3, template: {metadata: {labels: {}}, status: mine}},
metadata: {name: web, namespace: shop, labels: {app: web}, annotations: {a: b}, finalizers: [x]}}`,
		},
		{
			reason: "labels and annotations that say nothing",
			have:   `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {}, annotations: null}}`,
			want:   `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`,
		},
		{
			reason: "labels that are malformed are not hidden",
			have:   `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: []}}`,
			want:   `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: []}}`,
		},
		{
			reason: "no metadata at all",
			have:   `{apiVersion: v1, kind: ConfigMap}`,
			want:   `{apiVersion: v1, kind: ConfigMap}`,
		},
	}
	for _, test := range tests {
		before := parse(t, test.have)
		if diff := cmp.Diff(parse(t, test.want).Object, Clean(before).Object); diff != "" {
			t.Errorf("%s (-want +have):\n%s", test.reason, diff)
		}
		if diff := cmp.Diff(parse(t, test.have).Object, before.Object); diff != "" {
			t.Errorf("%s: the object itself was changed:\n%s", test.reason, diff)
		}
	}
}

func TestCanonical(t *testing.T) {
	one := parse(t, "{kind: ConfigMap, apiVersion: v1, metadata: {namespace: shop, name: a}, data: {b: <&>, a: '1'}}")
	other := parse(t, "apiVersion: v1\nkind: ConfigMap\ndata:\n  a: '1'\n  b: <&>\nmetadata:\n  name: a\n  namespace: shop\n")
	a, err := Canonical(one)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Canonical(other)
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Errorf("equal objects differ:\n%s\n%s", a, b)
	}
	other.SetName("b")
	if b, _ = Canonical(other); string(a) == string(b) {
		t.Errorf("other objects are equal: %s", a)
	}
	one.Object["data"] = func() {}
	if _, err := Canonical(one); err == nil {
		t.Error("what JSON does not have was encoded")
	}
}

func TestDigest(t *testing.T) {
	seen := map[string]string{}
	for reason, parts := range map[string][][]byte{
		"nothing":                    nil,
		"an empty part":              {nil},
		"two empty parts":            {nil, nil},
		"one part":                   {[]byte("ab")},
		"two parts":                  {[]byte("a"), []byte("b")},
		"a part that looks like two": {[]byte("a1:b")},
	} {
		digest := Digest(parts...)
		if len(digest) != 32 || digest != Digest(parts...) {
			t.Errorf("%s: %q is no digest", reason, digest)
		}
		if other, taken := seen[digest]; taken {
			t.Errorf("%s and %s have one digest", reason, other)
		}
		seen[digest] = reason
	}
}

func BenchmarkCanonical(b *testing.B) {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": "web", "namespace": "shop", "labels": map[string]any{"app": "web", "env": "prod"}},
		"spec": map[string]any{
			"replicas": int64(2), "selector": map[string]any{"matchLabels": map[string]any{"app": "web"}},
			"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]any{"app": "web"}},
				"spec": map[string]any{"containers": []any{map[string]any{
					"name": "web", "image": "registry.example.com/web:1", "ports": []any{map[string]any{"name": "http", "containerPort": int64(8080)}},
					"resources": map[string]any{"requests": map[string]any{"cpu": "100m", "memory": "128Mi"}},
				}}},
			},
		},
	}}
	b.ReportAllocs()
	for b.Loop() {
		data, err := Canonical(u)
		if err != nil {
			b.Fatal(err)
		}
		Digest(data)
	}
}
