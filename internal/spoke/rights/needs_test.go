package rights

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// objects reads manifests.
func objects(t *testing.T, manifests string) (found []*unstructured.Unstructured) {
	t.Helper()
	for _, part := range strings.Split(manifests, "---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(part), &u.Object); err != nil {
			t.Fatal(err)
		}
		if u.Object != nil {
			found = append(found, u)
		}
	}
	return found
}

const (
	configMap  = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop}}\n"
	deployment = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {replicas: 2}}\n"
	job        = "{apiVersion: batch/v1, kind: Job, metadata: {name: migrate, namespace: shop}}\n"
	definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: geese.example.org}
spec: {group: example.org, scope: Namespaced, names: {kind: Goose, plural: geese}}
`
	goose = "{apiVersion: example.org/v1, kind: Goose, metadata: {name: g, namespace: shop}}\n"
)

func TestOf(t *testing.T) {
	served := app.Facts{Scopes: map[string]bool{"ConfigMap": true, "CustomResourceDefinition.apiextensions.k8s.io": false, "Namespace": false}}
	for _, tc := range []struct {
		reason  string
		objects string
		hooks   string
		options app.Options
		facts   app.Facts
		want    []string
	}{{
		reason:  "one who does it all needs one rule",
		objects: configMap, options: app.Options{CorrectDrift: true},
		want: []string{"get, list, watch, create, patch configmaps in shop"},
	}, {
		reason:  "an account writes, and deletes what Git drops; the agent reads, and has to be let act as the account",
		objects: configMap, options: app.Options{CorrectDrift: true, Prune: true, ServiceAccount: "shop/deployer"},
		want: []string{
			"impersonate serviceaccounts deployer in shop", "get, list, watch configmaps in shop",
			"create, patch, delete configmaps in shop as shop/deployer",
		},
	}, {
		reason:  "a dry run that shows drift updates; whoever scales a workload is asked for",
		objects: deployment,
		want: []string{
			"get, list, watch, create, update, patch deployments.apps in shop",
			"get, list, watch horizontalpodautoscalers.autoscaling in shop",
		},
	}, {
		reason: "hooks make way for the next ones",
		hooks:  job, options: app.Options{CorrectDrift: true},
		want: []string{"get, list, watch, create, patch, delete jobs.batch in shop"},
	}, {
		reason:  "a kind that the app itself defines is called as it is defined",
		objects: definition + "---\n" + goose, options: app.Options{CorrectDrift: true}, facts: served,
		want: []string{
			"get, list, watch, create, patch customresourcedefinitions.apiextensions.k8s.io",
			"get, list, watch, create, patch geese.example.org in shop",
		},
	}, {
		reason:  "of a kind that nobody defines and the cluster does not have nothing can be written",
		objects: goose, facts: served,
		want: []string{},
	}, {
		reason:  "what limits forbid is not written",
		objects: configMap, options: app.Options{Limits: app.Limits{Namespaces: []string{"other"}}},
		want: []string{},
	}, {
		reason:  "a namespace that may have to be made",
		objects: configMap, options: app.Options{CorrectDrift: true, CreateNamespace: true},
		want: []string{"create, patch namespaces shop", "get, list, watch, create, patch configmaps in shop"},
	}, {
		reason: "variables are read as the account, and followed by the agent",
		options: app.Options{ServiceAccount: "shop/deployer", Variables: &app.Variables{Layers: []app.VariableLayer{
			{From: &app.VariablesFrom{Kind: "Secret", Namespace: "shop", Name: "values"}},
		}}},
		want: []string{
			"get, list, watch secrets in shop", "impersonate serviceaccounts deployer in shop",
			"get secrets values in shop as shop/deployer",
		},
	}} {
		bundle, err := app.NewBundle(objects(t, tc.objects), objects(t, tc.hooks))
		if err != nil {
			t.Fatal(err)
		}
		desired := app.Desired{Name: "web", Bundle: bundle, Options: tc.options}
		got := []string{}
		for _, r := range Of(desired, KindsOf(tc.facts, []app.Desired{desired})) {
			got = append(got, r.String())
		}
		slices.Sort(got)
		slices.Sort(tc.want)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
		}
	}
}

func TestOfRelease(t *testing.T) {
	for _, tc := range []struct {
		reason  string
		objects string
		hooks   string
		release app.Release
		want    []string
	}{{
		reason:  "Helm applies as the account, and waits as it: for a Deployment by what that makes",
		objects: configMap + "---\n" + deployment,
		want: []string{
			"get, list, watch configmaps in shop", "get, list, watch deployments.apps in shop",
			"get, list, watch, create, patch configmaps in shop as shop/deployer", "get, list, watch, create, patch deployments.apps in shop as shop/deployer",
			"list pods in shop as shop/deployer", "list replicasets.apps in shop as shop/deployer",
		},
	}, {
		reason:  "without waiting it follows nothing",
		objects: configMap, release: app.Release{Install: app.ReleaseAction{NoWait: true}, Upgrade: app.ReleaseAction{NoWait: true}},
		want: []string{"get, list, watch configmaps in shop", "get, create, patch configmaps in shop as shop/deployer"},
	}, {
		reason: "hooks are waited for all the same, and deleted; nobody follows them",
		hooks:  job, release: app.Release{Install: app.ReleaseAction{NoWait: true}, Upgrade: app.ReleaseAction{NoWait: true}},
		want: []string{"get, list, watch, create, patch, delete jobs.batch in shop as shop/deployer"},
	}, {
		reason: "hooks that are turned off need nothing",
		hooks:  job, release: app.Release{Install: app.ReleaseAction{NoHooks: true}, Upgrade: app.ReleaseAction{NoHooks: true}},
		want: []string{},
	}, {
		reason:  "definitions are waited for, and the namespace may have to be made",
		objects: definition, release: app.Release{Install: app.ReleaseAction{NoWait: true, CreateNamespace: true}, Upgrade: app.ReleaseAction{NoWait: true}},
		want: []string{
			"create, patch namespaces shop as shop/deployer", "get, list, watch customresourcedefinitions.apiextensions.k8s.io",
			"get, list, watch, create, patch customresourcedefinitions.apiextensions.k8s.io as shop/deployer",
		},
	}} {
		ids := func(manifests string) (ids []object.ID) {
			for _, u := range objects(t, manifests) {
				ids = append(ids, object.Of(u))
			}
			return ids
		}
		tc.release.Name, tc.release.Namespace = "r", "shop"
		desired := app.Desired{Bundle: &app.Bundle{Release: &tc.release}, Options: app.Options{ServiceAccount: "shop/deployer"}}
		got := []string{}
		for _, r := range OfRelease(desired, Kinds{}, ids(tc.objects), ids(tc.hooks)) {
			got = append(got, r.String())
		}
		slices.Sort(got)
		slices.Sort(tc.want)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
		}
	}
}

// Records of a release are kept as who Helm does it.
func TestOfReleaseRecords(t *testing.T) {
	for account, want := range map[string]string{
		"shop/deployer":  "get, list, create, update, patch, delete secrets in shop",
		"other/deployer": "get, list, create, update, patch, delete secrets in shop as other/deployer",
	} {
		rules := Of(app.Desired{Bundle: &app.Bundle{Release: &app.Release{Name: "r", Namespace: "shop"}}, Options: app.Options{ServiceAccount: account}}, Kinds{})
		var got []string
		for _, r := range rules {
			got = append(got, r.String())
		}
		if !strings.Contains(strings.Join(got, "\n")+"\n", want+"\n") || len(got) != 2 {
			t.Errorf("as %s: %q, want %q", account, got, want)
		}
	}
}
