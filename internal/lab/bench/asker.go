package bench

import (
	"fmt"
	"strings"
)

// asker is what asks for the apps of a fleet.
type asker int

const (
	deliveries     asker = iota // a Delivery each
	applications                // an Application each, among the objects of a root Application
	generated                   // an ApplicationSet, for each cluster and app
	kustomizations              // a Kustomization of Flux each, among the objects of the Delivery
	releases                    // a HelmRelease of Flux each, all of one chart
)

// repositoryURL is what Applications call the fleet repository.
const repositoryURL = "https://git.example.com/bench/fleet.git"

// ask writes what asks for the apps.
func (f fleet) ask(all files) {
	if f.by == deliveries {
		for app := range f.apps {
			f.delivery(all, app)
		}
		return
	}
	all["fleet.yaml"] += "spec:\n  urls: [" + repositoryURL + "]\n"
	dialect := ""
	switch f.by {
	case generated:
		dialect = "  dialect: {context: fleet}\n"
	case kustomizations, releases:
		dialect = "  kind: flux\n"
	}
	all["deliveries/bootstrap.yaml"] = `apiVersion: nave.dev/v1alpha1
kind: Delivery
metadata:
  name: bootstrap
spec:
  clusters: {all: true}
  source: {path: bootstrap}
` + dialect
	if f.by == kustomizations {
		for app := range f.apps {
			all["bootstrap/"+appName(app)+".yaml"] = kustomization(appName(app), namespaceOf(app))
		}
		return
	}
	if f.by == releases {
		f.shared(all)
		for app := range f.apps {
			all["bootstrap/"+appName(app)+".yaml"] = helmRelease(app, `"1"`)
		}
		return
	}
	const project = `apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: bench, namespace: argocd}
spec:
  sourceRepos: [` + repositoryURL + `]
  destinations:
  - {name: '*', namespace: bench-*}
`
	if f.by == generated {
		all["bootstrap/project.yaml"] = project
		all[setFile] = f.set("1")
		return
	}
	all["children/project.yaml"] = project
	all["bootstrap/root.yaml"] = application("root", "default", "path: children", "argocd")
	for app := range f.apps {
		all["children/"+appName(app)+".yaml"] = application(appName(app), "bench", f.source(app), namespaceOf(app))
	}
}

// kustomization returns one that is kept as Git says.
func kustomization(name, namespace string) string {
	return fmt.Sprintf(`apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata:
  name: %s
  namespace: flux-system
spec:
  interval: 10m
  path: ./apps/%s
  prune: true
  sourceRef: {kind: GitRepository, name: flux-system}
  targetNamespace: %s
`, name, name, namespace)
}

// application returns one that is kept as Git says. The source is what it has
// beside the repository.
func application(name, project, source, namespace string) string {
	return fmt.Sprintf(`apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: %s
  namespace: argocd
  finalizers: [resources-finalizer.argocd.argoproj.io]
spec:
  project: %s
  source: {repoURL: %s, targetRevision: HEAD, %s}
  destination: {server: https://kubernetes.default.svc, namespace: %s}
  syncPolicy:
    automated: {prune: true, selfHeal: true}
`, name, project, repositoryURL, source, namespace)
}

// source returns where an app's files are, and what an Application says of how to
// render them.
func (f fleet) source(app int) string {
	path := "path: apps/" + appName(app)
	switch f.formOf(app) {
	case overlays:
		return path + "/overlays/" + environments[0] + ", kustomize: {commonAnnotations: {team: bench}}"
	case chart:
		return path + ", helm: {valueFiles: [values-" + environments[0] + ".yaml], parameters: [{name: level, value: debug}]}"
	}
	return path
}

// setFile holds the ApplicationSet.
const setFile = "bootstrap/set.yaml"

// set returns an ApplicationSet with an Application for each cluster and app. The
// tag is that of the image of the first app; the others have 1.
func (f fleet) set(tag string) string {
	var elements strings.Builder
	for app := range f.apps {
		fmt.Fprintf(&elements, "          - {app: %s, namespace: %s, tag: %q}\n", appName(app), namespaceOf(app), tag)
		tag = "1"
	}
	return `apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {name: all, namespace: argocd}
spec:
  goTemplate: true
  goTemplateOptions: [missingkey=error]
  generators:
  - matrix:
      generators:
      - clusters: {}
      - list:
          elements:
` + elements.String() + `  template:
    metadata: {name: '{{.name}}-{{.app}}'}
    spec:
      project: bench
      source:
        repoURL: ` + repositoryURL + `
        targetRevision: HEAD
        path: 'apps/{{.app}}/overlays/{{.metadata.labels.env}}'
        kustomize:
          images: ['registry.example.com/web:{{.tag}}']
      destination: {name: '{{.name}}', namespace: '{{.namespace}}'}
      syncPolicy:
        automated: {prune: true, selfHeal: true}
`
}

// service writes the templates of a chart for an ordinary service, and values for
// each environment.
func (f fleet) service(all files, dir string) {
	values := strings.NewReplacer("registry.example.com/web:1", "{{ .Values.image }}:{{ .Values.tag }}", "value: info", "value: {{ .Values.level }}",
		"replicas: 0", "replicas: {{ .Values.replicas }}")
	all[dir+"values.yaml"] = "image: registry.example.com/web\ntag: latest\nlevel: info\nreplicas: 0\nteam: bench\n"
	for i, env := range environments {
		all[dir+"values-"+env+".yaml"] = fmt.Sprintf("tag: \"1.%d\"\n", i)
	}
	for name, text := range four("{{ .Release.Name }}", "{{ .Release.Namespace }}") {
		labels := "  labels:\n    {{- include \"labels\" . | nindent 4 }}\n"
		all[dir+"templates/"+name] = strings.Replace(values.Replace(text), "  labels:\n", labels, 1)
	}
}
