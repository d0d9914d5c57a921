package ledger

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
)

func TestLeftAlone(t *testing.T) {
	bundle := func(objects ...*unstructured.Unstructured) *app.Bundle {
		t.Helper()
		b, err := app.NewBundle(objects, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	of := func(kind, namespace, name string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind}}
		u.SetNamespace(namespace)
		u.SetName(name)
		return u
	}
	rule := func(kind, name string) app.ObjectRule { return app.ObjectRule{Kind: kind, Name: name} }
	made := app.Options{CreateNamespace: true}
	for _, test := range []struct {
		reason string
		last   app.Options
		had    *app.Bundle
		says   app.ObjectRules
		now    *app.Bundle
		want   app.ObjectRules
	}{
		{"nothing", app.Options{}, bundle(of("ConfigMap", "a", "x")), nil, bundle(), nil},
		{"what it says", app.Options{}, nil, app.ObjectRules{rule("Service", "s")}, bundle(), app.ObjectRules{rule("Service", "s")}},
		{"what it said, which Git no longer has", app.Options{Leaves: app.ObjectRules{rule("Service", "s")}}, nil, nil, bundle(), app.ObjectRules{rule("Service", "s")}},
		{"both, once", app.Options{Leaves: app.ObjectRules{rule("Service", "s"), rule("Service", "t")}}, nil, app.ObjectRules{rule("Service", "s")}, bundle(),
			app.ObjectRules{rule("Service", "s"), rule("Service", "t")}},
		{"not what it applies again", app.Options{Leaves: app.ObjectRules{rule("Service", "s")}}, nil, nil, bundle(of("Service", "a", "s")), nil},
		{"a namespace that was made, when the app goes", made, bundle(of("ConfigMap", "b", "x"), of("ConfigMap", "a", "x")), nil, bundle(),
			app.ObjectRules{rule("Namespace", "a"), rule("Namespace", "b")}},
		{"not one that was in Git", made, bundle(of("Namespace", "", "a"), of("ConfigMap", "a", "x")), nil, bundle(), nil},
		{"nor one that it still needs", made, bundle(of("ConfigMap", "a", "x")), nil, bundle(of("ConfigMap", "a", "y")), nil},
		{"one that it has left, with all else there", made, bundle(of("ConfigMap", "a", "x")), nil, bundle(of("ConfigMap", "b", "x")), app.ObjectRules{rule("Namespace", "a")}},
		{"not one that Git has now", made, bundle(of("ConfigMap", "a", "x")), nil, bundle(of("Namespace", "", "a")), nil},
		{"none where none is made", app.Options{}, bundle(of("ConfigMap", "a", "x")), nil, bundle(), nil},
	} {
		now := app.Desired{Options: app.Options{Leaves: test.says}, Bundle: test.now}
		have := App{Options: &test.last}.LeftAlone(test.had, now)
		if diff := cmp.Diff(test.want, have); diff != "" {
			t.Errorf("%s (-want +have):\n%s", test.reason, diff)
		}
		// What it comes to is kept, and the same from then on.
		now.Options.Leaves = have
		last := App{Options: new(now.Options)}
		now.Options.Leaves = test.says
		if diff := cmp.Diff(have, last.LeftAlone(test.now, now)); diff != "" {
			t.Errorf("%s, once more (-want +have):\n%s", test.reason, diff)
		}
	}
}
