package desired

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/app"
)

// fluxed is a Kustomization of the Delivery's source. The fields are lines of its spec.
func fluxed(name, dir string, spec ...string) string {
	return fmt.Sprintf("apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: %s, namespace: flux-system}\nspec:\n"+
		"  interval: 1h\n  prune: true\n  path: ./%s\n  %s\n---\n", name, dir, strings.Join(append(spec, "sourceRef: {kind: GitRepository, name: flux-system}"), "\n  "))
}

// fluxFiles are a fleet with a Delivery of what flux bootstrap was pointed at.
func fluxFiles() map[string]string {
	return map[string]string{
		"fleet.yaml":                                 "apiVersion: nave.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec: {urls: ['" + fleetURL + "']}\n",
		"clusters/prod-eu.yaml":                      cluster("prod-eu", "prod"),
		"deliveries/flux.yaml":                       delivery("flux", "source: {path: flux/prod}", "kind: flux"),
		"flux/prod/apps.yaml":                        fluxed("web", "web", "dependsOn: [{name: base}]") + fluxed("base", "base") + configMap("beside", "a"),
		"flux/prod/flux-system/sync.yaml":            fluxed("flux-system", "flux/prod") + "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: flux-system, namespace: flux-system}\nspec: {interval: 1m, url: '" + fleetURL + "', ref: {branch: main}}\n",
		"flux/prod/flux-system/kustomization.yaml":   "resources: [sync.yaml, gotk-components.yaml]\n",
		"flux/prod/flux-system/gotk-components.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: source-controller, namespace: flux-system, labels: {app.kubernetes.io/part-of: flux, app.kubernetes.io/version: v2.9.0}}\n",
		"base/vars.yaml":                             "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: vars, namespace: flux-system}\ndata: {image: web, dir: deep}\n",
		"web/web.yaml":                               deployment("web:1"),
		"web/deep.yaml":                              fluxed("deep", "deep", "postBuild: {substituteFrom: [{kind: ConfigMap, name: vars}]}"),
		"deep/deep.yaml":                             configMap("deep", "'${image}'"),
	}
}

func TestKustomizationsBecomeApps(t *testing.T) {
	r := newRepository(t)
	r.commit(fluxFiles())
	p := r.open(nil)
	c := compile(t, p, pin(t, p))["prod-eu"]
	want := []string{"base: ConfigMap/vars", "deep: ConfigMap/deep", "flux: ConfigMap/beside", "web: Deployment/web"}
	if diff := cmp.Diff(want, describe(c)); diff != "" || c.Incomplete != nil || len(c.Problems) > 0 {
		t.Errorf("%v %v (-want +have):\n%s", c.Incomplete, c.Problems, diff)
	}
	waits := map[string]string{}
	for _, d := range c.Apps {
		waits[d.Name] = d.Options.Lineage.Parent + " " + strings.Join(d.Options.DependsOn, ",")
		if d.Err != nil {
			t.Errorf("%s: %v", d.Name, d.Err)
		}
		if d.Name == "deep" && d.Bundle != nil {
			if data, _ := d.Bundle.Objects[0].Object["data"].(map[string]any); data["key"] != "web" {
				t.Errorf("variables of another app's ConfigMap are not substituted: %v", data)
			}
		}
	}
	if diff := cmp.Diff(map[string]string{"flux": " ", "base": "flux ", "web": "flux base", "deep": "web base"}, waits); diff != "" {
		t.Errorf("parents and dependencies (-want +have):\n%s", diff)
	}
	if text := fmt.Sprint(c.Warnings["flux"]); !strings.Contains(text, "1 objects of it are Flux itself") {
		t.Errorf("an installation of Flux is not reported: %s", text)
	}
}

// Each dialect reads the objects of what the other one asks for.
func TestDialectsShareATree(t *testing.T) {
	r := newRepository(t)
	files := fluxFiles()
	files["web/argo.yaml"] = application("argo", "argo", finalizer)
	files["argo/more.yaml"] = fluxed("more", "more") + configMap("beside-argo", "a")
	files["more/more.yaml"] = configMap("more", "a")
	r.commit(files)
	p := r.open(nil)
	c := compile(t, p, pin(t, p))["prod-eu"]
	want := []string{"argo: ConfigMap/beside-argo", "base: ConfigMap/vars", "deep: ConfigMap/deep", "flux: ConfigMap/beside", "more: ConfigMap/more", "web: Deployment/web"}
	if diff := cmp.Diff(want, describe(c)); diff != "" || c.Incomplete != nil || len(c.Problems) > 0 {
		t.Errorf("%v %v (-want +have):\n%s", c.Incomplete, c.Problems, diff)
	}
	// One that goes takes with it what only it brought.
	r.commit(map[string]string{"web/argo.yaml": configMap("nothing", "a")})
	c = compile(t, p, pin(t, p))["prod-eu"]
	want = []string{"base: ConfigMap/vars", "deep: ConfigMap/deep", "flux: ConfigMap/beside", "web: ConfigMap/nothing Deployment/web"}
	if diff := cmp.Diff(want, describe(c)); diff != "" {
		t.Errorf("after a commit (-want +have):\n%s", diff)
	}
}

// Of a name that both dialects ask for neither counts.
func TestDialectsContestAName(t *testing.T) {
	r := newRepository(t)
	files := fluxFiles()
	files["flux/prod/argo.yaml"] = application("base", "argo", finalizer)
	files["argo/more.yaml"] = configMap("more", "a")
	r.commit(files)
	p := r.open(nil)
	c := compile(t, p, pin(t, p))["prod-eu"]
	i := slices.IndexFunc(c.Apps, func(d app.Desired) bool { return d.Name == "base" })
	if i < 0 || c.Apps[i].Err == nil || !strings.Contains(c.Apps[i].Err.Error(), "two dialects") || c.Incomplete == nil {
		t.Errorf("incomplete: %v, apps: %v", c.Incomplete, describe(c))
	}
}

// An artifact is made of directories of the repository.
func TestArtifactsAreLaidOut(t *testing.T) {
	r := newRepository(t)
	files := fluxFiles()
	files["flux/prod/artifact.yaml"] = "apiVersion: source.extensions.fluxcd.io/v1beta1\nkind: ArtifactGenerator\nmetadata: {name: g, namespace: flux-system}\nspec:\n" +
		"  sources: [{alias: repo, kind: GitRepository, name: flux-system}]\n  artifacts:\n  - {name: web, copy: [{from: '@repo/web/**', to: '@artifact/base/'}, {from: '@repo/overlay', to: '@artifact/'}]}\n---\n" +
		strings.Replace(fluxed("laid", "overlay"), "kind: GitRepository, name: flux-system", "kind: ExternalArtifact, name: web", 1)
	files["overlay/kustomization.yaml"] = "resources: [../base/web.yaml]\nnamePrefix: x-\n"
	r.commit(files)
	p := r.open(nil)
	c := compile(t, p, pin(t, p))["prod-eu"]
	if !slices.Contains(describe(c), "laid: Deployment/x-web") {
		t.Error(describe(c))
	}
}
