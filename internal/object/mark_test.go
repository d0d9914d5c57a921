package object

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
)

func TestLabel(t *testing.T) {
	long := strings.Repeat("a", 63)
	plain := []string{"checkout", "a", "team-a.checkout", "A_b", long}
	for _, app := range plain {
		if label := (Owner{App: app}).Label(); label != app {
			t.Errorf("%q fits a label and has %q", app, label)
		}
	}
	odd := []string{
		long + "a", long + "b", strings.Repeat("-", 80), "-", "--", ".", "-checkout", "checkout-", "checkout.",
		"team/checkout", "team-checkout/", "team checkout", "kasse-größe", "日本", strings.Repeat("日", 30), "a|b", "\xff",
		strings.Repeat("x", 43) + ".y" + strings.Repeat("z", 30),
		Owner{App: "team/checkout"}.Label(), // a name that looks like the label of another
	}
	seen := map[string]string{}
	for _, app := range append(plain, odd...) {
		label := Owner{App: app}.Label()
		if bad := validation.IsValidLabelValue(label); len(bad) > 0 || label == "" {
			t.Errorf("%q has the label %q: %v", app, label, bad)
		}
		if other, taken := seen[label]; taken {
			t.Errorf("%q and %q have one label, %q", app, other, label)
		}
		seen[label] = app
	}
}

func FuzzLabel(f *testing.F) {
	f.Add("checkout", "team/checkout")
	f.Add("a.0123456789abcdef", "")
	f.Fuzz(func(t *testing.T, a, b string) {
		one, other := Owner{App: a}.Label(), Owner{App: b}.Label()
		if bad := validation.IsValidLabelValue(one); len(bad) > 0 {
			t.Errorf("%q has the label %q: %v", a, one, bad)
		}
		if a != b && one == other {
			t.Errorf("%q and %q have one label, %q", a, b, one)
		}
	})
}

var owner = Owner{Fleet: "acme", App: "checkout"}

// applied returns an object as the API server has it after Nave applied it.
func applied(tb testing.TB, manifest string, adopted bool) *unstructured.Unstructured {
	tb.Helper()
	u := parse(tb, manifest)
	Mark(u, owner, Of(u), adopted)
	fields := fmt.Sprintf(`{"f:metadata":{"f:annotations":{"f:%s":{}},"f:labels":{"f:%s":{}}}}`, IdentityAnnotation, AppLabel)
	u.SetManagedFields([]metav1.ManagedFieldsEntry{
		{Manager: "kubectl-edit", Operation: "Update", FieldsV1: metav1.NewFieldsV1(`{"f:data":{"f:a":{}}}`)},
		{Manager: FieldManager, Operation: "Apply", APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields)},
	})
	return u
}

const settings = "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: shop, labels: {team: a}, annotations: {note: b}}}"

func TestMark(t *testing.T) {
	u := parse(t, settings)
	u.SetAnnotations(map[string]string{"note": "b", AdoptedAnnotation: "true"})
	Mark(u, owner, ID{Kind: "ConfigMap", Namespace: "other", Name: "settings"}, false)
	if diff := cmp.Diff(map[string]string{"team": "a", AppLabel: "checkout"}, u.GetLabels()); diff != "" {
		t.Errorf("labels (-want +have):\n%s", diff)
	}
	want := map[string]string{"note": "b", IdentityAnnotation: "acme|checkout|ConfigMap other/settings"}
	if diff := cmp.Diff(want, u.GetAnnotations()); diff != "" {
		t.Errorf("annotations, of which one was left from before (-want +have):\n%s", diff)
	}
	bare := parse(t, "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
	Mark(bare, owner, Of(bare), true)
	if bare.GetLabels()[AppLabel] != "checkout" || bare.GetAnnotations()[AdoptedAnnotation] != "true" {
		t.Errorf("marked as %v", bare.Object)
	}
}

func TestOwnerOf(t *testing.T) {
	edit := func(change func(u *unstructured.Unstructured)) *unstructured.Unstructured {
		u := applied(t, settings, false)
		change(u)
		return u
	}
	annotate := func(name, value string) *unstructured.Unstructured {
		return edit(func(u *unstructured.Unstructured) {
			annotations := u.GetAnnotations()
			annotations[name] = value
			u.SetAnnotations(annotations)
		})
	}
	entry := func(change func(e *metav1.ManagedFieldsEntry)) *unstructured.Unstructured {
		return edit(func(u *unstructured.Unstructured) {
			entries := u.GetManagedFields()
			change(&entries[1])
			u.SetManagedFields(entries)
		})
	}
	tests := []struct {
		reason      string
		u           *unstructured.Unstructured
		adopted, ok bool
	}{
		{"as Nave applied it", applied(t, settings, false), false, true},
		{"as Nave adopted it", applied(t, settings, true), true, true},
		{"cluster-wide", applied(t, "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}", false), false, true},
		{"a name with the sign that separates", applied(t, "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a|b c}}", false), false, true},
		{"another version of the same kind", edit(func(u *unstructured.Unstructured) { u.SetAPIVersion("v2") }), false, true},

		{"never marked", parse(t, settings), false, false},
		{"copied to another name", edit(func(u *unstructured.Unstructured) { u.SetName("copy") }), false, false},
		{"copied to another namespace", edit(func(u *unstructured.Unstructured) { u.SetNamespace("other") }), false, false},
		{"copied to another kind", edit(func(u *unstructured.Unstructured) { u.SetKind("Secret") }), false, false},
		{"the label is of another app", edit(func(u *unstructured.Unstructured) { u.SetLabels(map[string]string{AppLabel: "cart"}) }), false, false},
		{"the label is gone", edit(func(u *unstructured.Unstructured) { u.SetLabels(nil) }), false, false},
		{"the annotation is gone", edit(func(u *unstructured.Unstructured) { u.SetAnnotations(nil) }), false, false},
		{"the annotation is cut", annotate(IdentityAnnotation, "acme|checkout"), false, false},
		{"the annotation names another app", annotate(IdentityAnnotation, "acme|cart|ConfigMap shop/settings"), false, false},
		{"the annotation names nobody", edit(func(u *unstructured.Unstructured) {
			u.SetLabels(nil)
			u.SetAnnotations(map[string]string{IdentityAnnotation: "||ConfigMap shop/settings"})
		}), false, false},

		{"no managed fields", edit(func(u *unstructured.Unstructured) { u.SetManagedFields(nil) }), false, false},
		{"another manager wrote it", entry(func(e *metav1.ManagedFieldsEntry) { e.Manager = "kubectl" }), false, false},
		{"an update wrote it, by whatever name", entry(func(e *metav1.ManagedFieldsEntry) { e.Operation = "Update" }), false, false},
		{"a subresource wrote it", entry(func(e *metav1.ManagedFieldsEntry) { e.Subresource = "status" }), false, false},
		{"Nave owns other fields", entry(func(e *metav1.ManagedFieldsEntry) { e.FieldsV1 = metav1.NewFieldsV1(`{"f:data":{}}`) }), false, false},
		{"Nave owns the annotation of a template", entry(func(e *metav1.ManagedFieldsEntry) {
			e.FieldsV1 = metav1.NewFieldsV1(fmt.Sprintf(`{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{"f:%s":{}}}}}}`, IdentityAnnotation))
		}), false, false},
		{"fields that cannot be read", entry(func(e *metav1.ManagedFieldsEntry) { e.FieldsV1 = metav1.NewFieldsV1(`[]`) }), false, false},
		{"no fields", entry(func(e *metav1.ManagedFieldsEntry) { e.FieldsV1 = nil }), false, false},
	}
	for _, test := range tests {
		have, adopted, ok := OwnerOf(test.u)
		want := Owner{}
		if test.ok {
			want = owner
		}
		if have != want || adopted != test.adopted || ok != test.ok {
			t.Errorf("%s: the owner is %+v, adopted %v, %v", test.reason, have, adopted, ok)
		}
	}
}

func TestOwnerOfOddApps(t *testing.T) {
	for _, app := range []string{strings.Repeat("a", 100), "---", "team/checkout"} {
		u := parse(t, settings)
		want := Owner{Fleet: "acme", App: app}
		Mark(u, want, Of(u), false)
		u.SetManagedFields(applied(t, settings, false).GetManagedFields())
		if have, _, ok := OwnerOf(u); !ok || have != want {
			t.Errorf("app %q: the owner is %+v, %v", app, have, ok)
		}
	}
}

// FuzzOwnerOf reads marks as anybody with rights in the cluster may have written
// them. Only an object that names itself, under Nave's manager, has an owner.
func FuzzOwnerOf(f *testing.F) {
	const fields = `{"f:metadata":{"f:annotations":{"f:nave.dev/identity":{}}}}`
	f.Add("web", "fleet|web|ConfigMap shop/a", "a", FieldManager, fields)
	f.Add("web", "fleet|web|ConfigMap shop/a", "b", FieldManager, fields)
	f.Add("", "||", "", "", "{}")
	f.Add("web", "a|b|c|d", "a", FieldManager, `{"f:metadata":1}`)
	f.Fuzz(func(t *testing.T, label, identity, name, manager, fields string) {
		u := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{
				"name": name, "namespace": "shop",
				"labels":        map[string]any{AppLabel: label},
				"annotations":   map[string]any{IdentityAnnotation: identity},
				"managedFields": []any{map[string]any{"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": fieldsOf(fields)}},
			},
		}}
		owner, _, ok := OwnerOf(u)
		if !ok {
			return
		}
		if manager != FieldManager || !strings.Contains(identity, Of(u).String()) || owner.App == "" || owner.Label() != label {
			t.Errorf("label %q, identity %q, manager %q: owned by %+v", label, identity, manager, owner)
		}
	})
}

// fieldsOf returns fields as an API server would decode them.
func fieldsOf(text string) any {
	var fields map[string]any
	if json.Unmarshal([]byte(text), &fields) != nil {
		return nil
	}
	return fields
}
