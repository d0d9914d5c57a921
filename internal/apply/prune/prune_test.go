package prune

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/object"
)

// id reads "ConfigMap shop/a".
func id(t *testing.T, text string) object.ID {
	t.Helper()
	parsed, err := object.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// many returns n ConfigMaps.
func many(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("ConfigMap shop/%s%02d", prefix, i)
	}
	return names
}

func TestNew(t *testing.T) {
	crd := "apiextensions.k8s.io/CustomResourceDefinition widgets.example.org"
	for _, test := range []struct {
		name        string
		wanted      []string
		tracked     []string // with " adopted" or " kept" at the end
		adjust      func(*Request)
		confirm     []string // objects of a list that was confirmed
		delete      []string
		held, kept  []string
		whyHeld     string
		whyKept     string
		reason      string
		wantCounted int
	}{{
		name: "absent", wanted: []string{"ConfigMap shop/a"}, tracked: []string{"ConfigMap shop/a", "ConfigMap shop/b"},
		delete: []string{"ConfigMap shop/b"}, wantCounted: 1, reason: "what Git dropped is deleted",
	}, {
		name: "incomplete", wanted: []string{"ConfigMap shop/a"}, tracked: []string{"ConfigMap shop/b"},
		adjust: func(r *Request) { r.Complete = false },
		kept:   []string{"ConfigMap shop/b"}, whyKept: "not complete", reason: "absence counts only in a complete evaluation",
	}, {
		name: "empty", tracked: []string{"ConfigMap shop/a"},
		kept: []string{"ConfigMap shop/a"}, whyKept: "come out empty", reason: "an empty render never prunes",
	}, {
		name: "empty and confirmed", tracked: []string{"ConfigMap shop/a"}, confirm: []string{"ConfigMap shop/a"},
		kept: []string{"ConfigMap shop/a"}, whyKept: "come out empty", reason: "not even when the list was confirmed",
	}, {
		name: "disabled", wanted: []string{"ConfigMap shop/a"}, tracked: []string{"ConfigMap shop/b"},
		adjust: func(r *Request) { r.Enabled = false },
		kept:   []string{"ConfigMap shop/b"}, whyKept: "pruning is off", reason: "the app's options decide",
	}, {
		name: "five of few", wanted: []string{"ConfigMap shop/z"}, tracked: many("a", 5),
		delete: many("a", 5), wantCounted: 5, reason: "five objects may always go",
	}, {
		name: "six of few", wanted: []string{"ConfigMap shop/z"}, tracked: many("a", 6),
		held: many("a", 6), whyHeld: "6 of the app's 6 objects", reason: "six are more than max(5, 20 %)",
	}, {
		name: "a fifth of many", wanted: many("b", 24), tracked: append(many("b", 24), many("a", 6)...),
		delete: many("a", 6), wantCounted: 6, reason: "six of thirty are 20 %",
	}, {
		name: "more than a fifth", wanted: many("b", 23), tracked: append(many("b", 23), many("a", 6)...),
		held: many("a", 6), whyHeld: "more than 5", reason: "six of 29 are more than 20 %",
	}, {
		name: "cluster", wanted: many("b", 96), tracked: append(many("b", 96), many("a", 4)...),
		adjust: func(r *Request) { r.ClusterObjects, r.PrunedBefore = 100, 7 },
		held:   many("a", 4), whyHeld: "11 of the cluster's 100 objects", reason: "other apps of the round used up the budget of max(10, 5 %)",
	}, {
		name: "cluster just fits", wanted: many("b", 96), tracked: append(many("b", 96), many("a", 4)...),
		adjust: func(r *Request) { r.ClusterObjects, r.PrunedBefore = 100, 6 },
		delete: many("a", 4), wantCounted: 4, reason: "ten may always go",
	}, {
		name: "confirmed", wanted: []string{"ConfigMap shop/z"}, tracked: many("a", 6), confirm: many("a", 6),
		delete: many("a", 6), wantCounted: 6, reason: "people confirmed exactly this list",
	}, {
		name: "confirmed another", wanted: []string{"ConfigMap shop/z"}, tracked: many("a", 7), confirm: many("a", 6),
		held: many("a", 7), whyHeld: "7 of the app's 7", reason: "a confirmation lapses when the list changes",
	}, {
		name: "on hold", wanted: []string{"ConfigMap shop/z"}, tracked: []string{"ConfigMap shop/a", "Namespace old"},
		adjust: func(r *Request) { r.Hold = "the fleet says so" },
		held:   []string{"Namespace old", "ConfigMap shop/a"}, whyHeld: "the fleet says so; namespaces",
		reason: "a hold holds what the other budgets would let go",
	}, {
		name: "on hold, confirmed", wanted: []string{"ConfigMap shop/z"}, tracked: []string{"ConfigMap shop/a"}, confirm: []string{"ConfigMap shop/a"},
		adjust: func(r *Request) { r.Hold = "the fleet says so" },
		delete: []string{"ConfigMap shop/a"}, wantCounted: 1, reason: "people confirmed exactly this list",
	}, {
		name: "on hold, nothing of it", wanted: []string{"ConfigMap shop/z"}, tracked: []string{"Namespace old"},
		adjust: func(r *Request) { r.Hold = "the fleet says so" },
		held:   []string{"Namespace old"}, whyHeld: "namespaces, definitions", reason: "what is held in any case says so",
	}, {
		name: "on hold, generations", wanted: []string{"ConfigMap shop/conf-7b8c9d2f4g"}, tracked: []string{"ConfigMap shop/conf-5h5h5h5h5h"},
		adjust: func(r *Request) { r.Hold = "the fleet says so" },
		delete: []string{"ConfigMap shop/conf-5h5h5h5h5h"}, reason: "replacement by a new hash suffix is no removal",
	}, {
		name: "always held", wanted: []string{"ConfigMap shop/z"},
		tracked: []string{"Namespace old", crd, "PersistentVolume v", "PersistentVolumeClaim shop/d", "ConfigMap shop/a"},
		delete:  []string{"ConfigMap shop/a"}, wantCounted: 1,
		held:    []string{"Namespace old", "PersistentVolume v", crd, "PersistentVolumeClaim shop/d"},
		whyHeld: "only after confirmation", reason: "these kinds are held even within the budget",
	}, {
		name: "always held, confirmed", wanted: []string{"ConfigMap shop/z"},
		tracked: []string{"Namespace old", "PersistentVolumeClaim old/d", "ConfigMap shop/a"},
		confirm: []string{"PersistentVolumeClaim old/d", "Namespace old"}, wantCounted: 1,
		delete: []string{"PersistentVolumeClaim old/d", "ConfigMap shop/a", "Namespace old"},
		reason: "confirmed, they go, what uses others first",
	}, {
		name: "adopted", wanted: []string{"ConfigMap shop/z"}, tracked: []string{"ConfigMap shop/a adopted", "ConfigMap shop/b"},
		delete: []string{"ConfigMap shop/b"}, wantCounted: 1, held: []string{"ConfigMap shop/a"}, whyHeld: "adopted",
		reason: "what was there before is held",
	}, {
		name:    "generations",
		wanted:  []string{"ConfigMap shop/conf-7b8c9d2f4g", "Secret shop/key-2222222222"},
		tracked: []string{"ConfigMap shop/conf-5h5h5h5h5h", "Secret shop/key-4444444444", "ConfigMap shop/other-5h5h5h5h5h"},
		adjust:  func(r *Request) { r.ClusterObjects, r.PrunedBefore = 0, 9 },
		delete:  []string{"ConfigMap shop/conf-5h5h5h5h5h", "ConfigMap shop/other-5h5h5h5h5h", "Secret shop/key-4444444444"}, wantCounted: 1,
		reason: "replacement by a new hash suffix does not count",
	}, {
		name: "author keeps it", wanted: []string{"ConfigMap shop/z"}, tracked: []string{"ConfigMap shop/a kept"},
		kept: []string{"ConfigMap shop/a"}, whyKept: "its author", reason: "annotations keep objects",
	}, {
		name: "author keeps it when the app goes", tracked: []string{"ConfigMap shop/a stays", "ConfigMap shop/b asks", "ConfigMap shop/c"},
		adjust: func(r *Request) { r.Removed = true },
		delete: []string{"ConfigMap shop/c"}, held: []string{"ConfigMap shop/b"}, kept: []string{"ConfigMap shop/a"}, wantCounted: 1,
		whyKept: "Delete=false", whyHeld: "Delete=confirm", reason: "annotations keep objects of an app that goes, or ask first",
	}, {
		name: "confirmed when the app goes", tracked: []string{"ConfigMap shop/a stays", "ConfigMap shop/b asks"}, confirm: []string{"ConfigMap shop/b"},
		adjust: func(r *Request) { r.Removed = true },
		delete: []string{"ConfigMap shop/b"}, kept: []string{"ConfigMap shop/a"}, whyKept: "Delete=false", reason: "who asks is answered, who stays is not asked about",
	}, {
		name: "author speaks of the app alone", wanted: []string{"ConfigMap shop/z"}, tracked: []string{"ConfigMap shop/a stays", "ConfigMap shop/b asks"},
		delete: []string{"ConfigMap shop/a", "ConfigMap shop/b"}, wantCounted: 2, reason: "what Git drops from an app that stays is deleted",
	}, {
		name: "claimed by another app", wanted: []string{"ConfigMap shop/z"}, tracked: []string{"ConfigMap shop/a"},
		adjust: func(r *Request) { r.ClaimedBy = func(object.ID) (string, bool) { return "other", true } },
		kept:   []string{"ConfigMap shop/a"}, whyKept: `"other"`, reason: "an object that another app claims is left to it",
	}, {
		name: "namespace needed", wanted: []string{"ConfigMap old/z"}, tracked: []string{"Namespace old"}, confirm: []string{"Namespace old"},
		kept: []string{"Namespace old"}, whyKept: "objects that the app still has", reason: "the app's own objects would go with it",
	}, {
		name: "namespace needed by another", wanted: []string{"ConfigMap shop/z"}, tracked: []string{"Namespace old"}, confirm: []string{"Namespace old"},
		adjust: func(r *Request) { r.Needs = func(object.ID) (string, bool) { return "other", true } },
		kept:   []string{"Namespace old"}, whyKept: `"other"`, reason: "another app's objects would go with it",
	}, {
		name: "scope resolved differently", wanted: []string{"example.org/Widget w", "example.org/Gadget shop/g"},
		tracked: []string{"example.org/Widget shop/w", "example.org/Gadget g"},
		reason:  "an identity that was resolved differently is no absence",
	}} {
		t.Run(test.name, func(t *testing.T) {
			r := Request{App: "web", Enabled: true, Complete: true, ClusterObjects: 1000}
			for _, text := range test.wanted {
				r.Wanted = append(r.Wanted, id(t, text))
			}
			for _, text := range test.tracked {
				text, adopted := strings.CutSuffix(text, " adopted")
				text, kept := strings.CutSuffix(text, " kept")
				text, stays := strings.CutSuffix(text, " stays")
				text, asks := strings.CutSuffix(text, " asks")
				o := Object{ID: id(t, text), Adopted: adopted}
				if stays {
					o.Removal = Stays
				} else if asks {
					o.Removal = Asks
				}
				if kept {
					o.Kept = "kept, as its author asks"
				}
				r.Tracked = append(r.Tracked, o)
			}
			if test.confirm != nil {
				var ids []object.ID
				for _, text := range test.confirm {
					ids = append(ids, id(t, text))
				}
				r.Confirmed = []string{Digest("web", ids)}
			}
			if test.adjust != nil {
				test.adjust(&r)
			}
			plan := New(r)
			var deleted, held, kept []string
			for _, o := range plan.Delete {
				deleted = append(deleted, o.ID.String())
			}
			for _, o := range plan.Held {
				held = append(held, o.ID.String())
			}
			for _, entry := range plan.Kept {
				kept = append(kept, entry.Object.String())
				if test.whyKept == "" || !strings.Contains(entry.Reason, test.whyKept) {
					t.Errorf("kept because %q, want %q", entry.Reason, test.whyKept)
				}
			}
			if diff := cmp.Diff(test.delete, deleted); diff != "" {
				t.Errorf("%s: deleted (-want +got)\n%s", test.reason, diff)
			}
			if diff := cmp.Diff(test.held, held); diff != "" {
				t.Errorf("%s: held (-want +got)\n%s", test.reason, diff)
			}
			if diff := cmp.Diff(test.kept, kept); diff != "" {
				t.Errorf("%s: kept (-want +got)\n%s", test.reason, diff)
			}
			if !strings.Contains(plan.WhyHeld, test.whyHeld) || (plan.WhyHeld == "") != (len(held) == 0) {
				t.Errorf("held because %q, want %q", plan.WhyHeld, test.whyHeld)
			}
			if plan.Counted != test.wantCounted {
				t.Errorf("%d count against the cluster's budget, want %d", plan.Counted, test.wantCounted)
			}
			if (plan.Digest == "") != (len(held) == 0) {
				t.Errorf("digest %q of %d held objects", plan.Digest, len(held))
			}
		})
	}
}

func TestDigestNamesTheListInAnyOrder(t *testing.T) {
	a, b := id(t, "ConfigMap shop/a"), id(t, "Namespace b")
	if Digest("web", []object.ID{a, b}) != Digest("web", []object.ID{b, a}) {
		t.Error("the order counts")
	}
	for _, other := range []string{Digest("web", []object.ID{a}), Digest("api", []object.ID{a, b})} {
		if other == Digest("web", []object.ID{a, b}) {
			t.Error("another list, or another app's, has the same digest")
		}
	}
}

func TestKept(t *testing.T) {
	for _, test := range []struct {
		name, id    string
		annotations map[string]string
		labels      map[string]string
		kept        bool
	}{
		{"plain", "ConfigMap shop/a", nil, nil, false},
		{"nave", "ConfigMap shop/a", map[string]string{"nave.dev/prune": "disabled"}, nil, true},
		{"argo", "ConfigMap shop/a", map[string]string{"argocd.argoproj.io/sync-options": "Replace=true, Prune=false"}, nil, true},
		{"argo prunes", "ConfigMap shop/a", map[string]string{"argocd.argoproj.io/sync-options": "Prune=true"}, nil, false},
		{"flux", "ConfigMap shop/a", map[string]string{"kustomize.toolkit.fluxcd.io/prune": "disabled"}, nil, true},
		{"helm", "PersistentVolumeClaim shop/a", map[string]string{"helm.sh/resource-policy": "keep"}, nil, true},
		{"default namespace", "Namespace default", nil, nil, true},
		{"system namespace", "Namespace kube-flannel", nil, nil, true},
		{"namespace", "Namespace kubeless", nil, nil, false},
		{"service account", "ServiceAccount shop/default", nil, nil, true},
		{"root certificate", "ConfigMap shop/kube-root-ca.crt", nil, nil, true},
		{"bootstrap role", "rbac.authorization.k8s.io/ClusterRole edit", nil, map[string]string{"kubernetes.io/bootstrapping": "rbac-defaults"}, true},
		{"system role", "rbac.authorization.k8s.io/ClusterRoleBinding system:node", nil, nil, true},
		{"own role", "rbac.authorization.k8s.io/ClusterRole viewer", nil, nil, false},
		{"api service", "Service default/kubernetes", nil, nil, true},
		{"priority", "scheduling.k8s.io/PriorityClass system-node-critical", nil, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			parsed := id(t, test.id)
			u := &unstructured.Unstructured{Object: map[string]any{}}
			u.SetAPIVersion(strings.TrimPrefix(parsed.Group+"/v1", "/"))
			u.SetKind(parsed.Kind)
			u.SetNamespace(parsed.Namespace)
			u.SetName(parsed.Name)
			u.SetLabels(test.labels)
			u.SetAnnotations(test.annotations)
			if reason := Kept(u); (reason != "") != test.kept {
				t.Errorf("kept because %q, want kept %v", reason, test.kept)
			}
		})
	}
}

func TestRead(t *testing.T) {
	for options, want := range map[string]Object{
		"Prune=confirm":               {Confirm: true},
		"Validate=false,Delete=false": {Removal: Stays},
		"Delete=confirm":              {Removal: Asks},
		"Delete=confirm,Delete=false": {Removal: Stays},
		"Delete=true":                 {},
	} {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		u.SetAnnotations(map[string]string{object.SyncOptionsAnnotation: options})
		if diff := cmp.Diff(want, Read(u)); diff != "" {
			t.Errorf("%s (-want +have):\n%s", options, diff)
		}
	}
}

// BenchmarkNew is the prune arithmetic of a large app.
func BenchmarkNew(b *testing.B) {
	r := Request{App: "web", Enabled: true, Complete: true, ClusterObjects: 10000}
	for i := range 10000 {
		id := object.ID{Kind: "ConfigMap", Namespace: "shop", Name: fmt.Sprint(i)}
		r.Tracked = append(r.Tracked, Object{ID: id})
		if i%10 > 0 {
			r.Wanted = append(r.Wanted, id)
		}
	}
	for b.Loop() {
		if plan := New(r); len(plan.Held) != 1000 {
			b.Fatalf("%d held", len(plan.Held))
		}
	}
}

// TestWhatIsReadStays: what was applied before, and is read for apps now, is not deleted.
func TestWhatIsReadStays(t *testing.T) {
	read := id(t, "argoproj.io/Application argocd/web")
	request := Request{
		App: "root", Enabled: true, Complete: true, Size: 2, ClusterObjects: 100,
		Wanted: []object.ID{id(t, "ConfigMap shop/a")}, Tracked: []Object{{ID: read}},
	}
	if plan := New(request); len(plan.Delete) != 1 {
		t.Fatalf("where it is an object like any other: %+v", plan)
	}
	request.LeavesAlone = func(o object.ID) bool { return o == read }
	if plan := New(request); len(plan.Delete)+len(plan.Held) > 0 || len(plan.Kept) != 1 {
		t.Errorf("where it is read: %+v", plan)
	}
}
