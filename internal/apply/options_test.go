package apply

import (
	"strings"
	"testing"

	"nave.dev/internal/app"
	"nave.dev/internal/change"
)

// What an app may touch is what both its own limits and its project's permit.
func TestProjectNarrowsLimits(t *testing.T) {
	g := on(t)
	target := g.target("web", configMaps("a")+`
apiVersion: v1
kind: ServiceAccount
metadata: {name: b, namespace: NS}
`)
	target.Options.Limits = app.Limits{Namespaces: []string{g.namespace}}
	target.Options.Project = app.Limits{By: `project "shop"`, NamespacedKinds: []app.KindRule{{Group: "*", Kind: "ConfigMap"}}}
	result := g.sync(target)
	g.want("created ConfigMap a; failed ServiceAccount b", "the project does not list it", result.Changes)
	if reason := entryOf(result.Changes, "ServiceAccount", "b").Reason; !strings.Contains(reason, `project "shop"`) {
		t.Errorf("who refuses it is not named: %s", reason)
	}
	target.Options.Project = app.Limits{}
	g.sync(target)
	next := g.with(target, configMaps("a"))
	next.Options.Project = app.Limits{DeniedNamespacedKinds: []app.KindRule{{Group: "*", Kind: "ServiceAccount"}}}
	g.want("failed ServiceAccount b; unchanged ConfigMap a", "nor may it be deleted", g.sync(next).Changes)
}

func TestNamespaceMetadata(t *testing.T) {
	g := on(t)
	g.onEnd("Namespace", "PREFIX-new")
	g.patch("kubectl-label", "Namespace", g.namespace, `{"metadata":{"labels":{"team":"people"}}}`)
	target := g.target("web", configMaps("a")+`
apiVersion: v1
kind: ConfigMap
metadata: {name: b, namespace: PREFIX-new}
`)
	target.Options.CreateNamespace = true
	g.sync(target)
	target.Options.NamespaceMetadata = app.Metadata{Labels: map[string]string{"tier": "one"}, Annotations: map[string]string{"note": "made"}}
	result := g.sync(target)
	if got := entryOf(result.Changes, "Namespace", g.namespace).Action; got != change.Adopted {
		t.Errorf("the namespace that was there: %s", got)
	}
	for _, name := range []string{g.namespace, "PREFIX-new"} {
		g.wantField(`"one"`, "it is described", "Namespace", name, "metadata", "labels", "tier")
		g.wantField(`"made"`, "it is described", "Namespace", name, "metadata", "annotations", "note")
	}
	g.wantField(`"people"`, "what people put there stays", "Namespace", g.namespace, "metadata", "labels", "team")
	g.patch("kubectl-label", "Namespace", g.namespace, `{"metadata":{"labels":{"tier":"two","other":"mine"}}}`)
	g.sync(target)
	g.wantField(`"one"`, "a label of Git's is Git's", "Namespace", g.namespace, "metadata", "labels", "tier")
	g.wantField(`"mine"`, "one that Git does not have is not", "Namespace", g.namespace, "metadata", "labels", "other")

	// Without the metadata the app lets go of the namespaces, which nothing deletes.
	target.Options.NamespaceMetadata = app.Metadata{}
	g.sync(target)
	target.Options.CreateNamespace = false
	if result = g.sync(target); result.Changes.Count(change.Deleted) > 0 {
		t.Errorf("a namespace went:\n%s", result.Changes)
	}
}

func TestDeletionsOfAnAppThatWaitForConfirmation(t *testing.T) {
	g := on(t)
	target := g.target("web", configMaps("a", "b"))
	g.sync(target)
	next := g.with(target, configMaps("a"))
	next.Options.HoldPrunes = true
	result := g.sync(next)
	g.want("held ConfigMap b; unchanged ConfigMap a", "even a single one", result.Changes)
	next.Confirmed = []string{result.Held.Digest}
	g.want("deleted ConfigMap b; unchanged ConfigMap a", "until somebody confirms", g.sync(next).Changes)
}

func TestAllowEmptyDeletesTheLastObjects(t *testing.T) {
	g := on(t)
	target := g.target("web", configMaps("a", "b"))
	g.sync(target)
	next := g.with(target, "")
	g.want("skipped ConfigMap a; skipped ConfigMap b", "an empty app deletes nothing", g.sync(next).Changes)
	next.Options.AllowEmpty = true
	incomplete := next
	incomplete.Complete = false
	g.want("skipped ConfigMap a; skipped ConfigMap b", "nor one that cannot be told whole", g.sync(incomplete).Changes)
	g.want("deleted ConfigMap a; deleted ConfigMap b", "unless it says so", g.sync(next).Changes)
}

// The API server shows how a deletion propagates by what it leaves: in the
// foreground, and where dependants are to be orphaned, the object stays until a
// controller, which this server does not have, has seen to them.
func TestPropagation(t *testing.T) {
	for policy, want := range map[string]string{"": "", "background": "", "foreground": "foregroundDeletion", "orphan": "orphan"} {
		t.Run("policy "+policy, func(t *testing.T) {
			g := on(t)
			target := g.target("web", configMaps("a", "b"))
			g.sync(target)
			next := g.with(target, configMaps("a"))
			next.Options.Propagation = policy
			g.want("deleted ConfigMap b; unchanged ConfigMap a", "it is pruned", g.sync(next).Changes)
			left := g.live("ConfigMap", "b")
			finalizer := ""
			if left != nil {
				finalizer = strings.Join(left.GetFinalizers(), " ")
				g.patch("controller", "ConfigMap", "b", `{"metadata":{"finalizers":null}}`)
			}
			if finalizer != want {
				t.Errorf("left with the finalizer %q, want %q", finalizer, want)
			}
		})
	}
	g := on(t)
	target := g.target("web", configMaps("a"))
	target.Options.Propagation = "sideways"
	if _, err := g.client.Sync(t.Context(), target); err == nil || !strings.Contains(err.Error(), `"sideways"`) {
		t.Errorf("a policy that there is not: %v", err)
	}
}

// Argo CD's annotations of single objects that have a meaning here.
func TestAnnotationsOfArgoCD(t *testing.T) {
	g := on(t)
	object := func(name, annotation, value string) string {
		return `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ` + name + `, namespace: NS, annotations: {"argocd.argoproj.io/` + annotation + `": "` + value + `"}}
immutable: true
data: {k: v}
`
	}
	target := g.target("web", configMaps("a")+
		object("asks", "sync-options", "Validate=false, Prune=confirm")+
		object("forced", "sync-options", "Replace=true,Force=true")+
		object("plain", "sync-options", "Replace=true")+
		object("spare", "compare-options", "IgnoreExtraneous"))
	g.sync(target)

	changed := g.with(target, strings.ReplaceAll(configMaps("a")+
		object("asks", "sync-options", "Prune=confirm")+object("forced", "sync-options", "Replace=true,Force=true")+
		object("plain", "sync-options", "Replace=true"), "k: v", "k: w"))
	changed.Options.Prune = false
	result := g.sync(changed)
	for name, want := range map[string]change.Action{"forced": change.Replaced, "plain": change.Failed, "spare": change.Orphaned} {
		if got := entryOf(result.Changes, "ConfigMap", name); got.Action != want {
			t.Errorf("%s is %s: %s, want %s", name, got.Action, got.Reason, want)
		}
	}
	gone := g.with(target, configMaps("a"))
	result = g.sync(gone)
	if got := entryOf(result.Changes, "ConfigMap", "asks"); got.Action != change.Held || !strings.Contains(got.Reason, "Prune=confirm") {
		t.Errorf("%s: %s", got.Action, got.Reason)
	}
}
