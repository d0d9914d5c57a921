package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// form is how an app's files are written.
type form int

const (
	plain    form = iota // a directory of YAML files
	overlays             // a Kustomize base, with an overlay for each environment
	chart                // a Helm chart with a template for each object
	mixed                // overlays and charts in turn
)

// fleet is a fleet repository to generate, whose apps every cluster has.
type fleet struct {
	clusters []string
	apps     int
	by       asker
	// objects is how many ConfigMaps an app has; 0 gives it a ServiceAccount, a
	// Service, an Ingress and a Deployment without replicas.
	objects int
	form    form
}

// same reports whether another fleet has the same files, clusters aside.
func (f fleet) same(other fleet) bool {
	return f.apps == other.apps && f.by == other.by && f.objects == other.objects && f.form == other.form
}

// revisionKey is an annotation of every generated object, by which the watcher
// tells an object's states apart.
const revisionKey = "bench.nave.dev/revision"

// namespaces are those that the apps are dealt to. They are there before.
const namespaces = 10

func namespaceOf(app int) string { return fmt.Sprintf("bench-%d", app%namespaces) }
func appName(app int) string     { return fmt.Sprintf("app-%04d", app) }

// environments are dealt to clusters in turn.
var environments = []string{"dev", "staging", "prod"}

// files are the contents of files by path.
type files map[string]string

// write replaces what a directory holds, but for Git's own.
func (f fleet) write(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, entry := range entries {
		if entry.Name() != ".git" {
			if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return f.files().write(dir)
}

func (f files) write(dir string) error {
	for name, content := range f {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// files returns the whole repository.
func (f fleet) files() files {
	all := files{
		"fleet.yaml": "apiVersion: nave.dev/v1alpha1\nkind: Fleet\nmetadata:\n  name: bench\n",
		"README.md":  "A fleet to measure.\n",
	}
	for i, cluster := range f.clusters {
		all["clusters/"+cluster+".yaml"] = fmt.Sprintf("apiVersion: nave.dev/v1alpha1\nkind: Cluster\nmetadata:\n  name: %s\n  labels:\n    env: %s\n",
			cluster, environments[i%len(environments)])
	}
	f.ask(all)
	if f.by == releases {
		return all
	}
	for app := range f.apps {
		switch f.formOf(app) {
		case plain:
			for name, content := range f.objectsOf(app) {
				all["apps/"+appName(app)+"/"+name] = content
			}
		case overlays:
			f.overlays(all, app)
		case chart:
			f.chart(all, app)
		}
	}
	return all
}

// formOf returns how an app's files are written.
func (f fleet) formOf(app int) form {
	if f.form != mixed {
		return f.form
	}
	return []form{overlays, chart}[app%2]
}

func (f fleet) delivery(all files, app int) {
	path := "apps/" + appName(app)
	kind := ""
	switch f.formOf(app) {
	case overlays:
		path += "/overlays/${cluster.labels.env}"
		kind = "  kind: kustomize\n"
	case chart:
		kind = "  kind: helm\n"
	}
	all["deliveries/"+appName(app)+".yaml"] = fmt.Sprintf(`apiVersion: nave.dev/v1alpha1
kind: Delivery
metadata:
  name: %s
spec:
  clusters: {all: true}
  source:
    path: %s
%s  namespace: %s
`, appName(app), path, kind, namespaceOf(app))
}

// deploymentFile is where the Deployment of an app is, for all clusters.
func (f fleet) deploymentFile(app int) string {
	if f.formOf(app) == overlays {
		return "apps/" + appName(app) + "/base/deployment.yaml"
	}
	return "apps/" + appName(app) + "/deployment.yaml"
}

// overlays writes an app as users with several environments do.
func (f fleet) overlays(all files, app int) {
	dir := "apps/" + appName(app) + "/"
	base := "resources:\n"
	objects := f.objectsOf(app)
	for name := range objects {
		all[dir+"base/"+name] = objects[name]
	}
	for _, name := range sortedKeys(objects) {
		base += "- " + name + "\n"
	}
	all[dir+"base/kustomization.yaml"] = base
	for i, env := range environments {
		all[dir+"overlays/"+env+"/kustomization.yaml"] = fmt.Sprintf(`namespace: %s
resources:
- ../../base
labels:
- pairs:
    env: %s
`, namespaceOf(app), env)
		if f.objects == 0 {
			all[dir+"overlays/"+env+"/kustomization.yaml"] += fmt.Sprintf(`images:
- name: registry.example.com/web
  newTag: "1.%d"
patches:
- path: size.yaml
`, i)
			all[dir+"overlays/"+env+"/size.yaml"] = fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %s
spec:
  template:
    spec:
      containers:
      - name: web
        resources:
          requests: {cpu: %dm, memory: 128Mi}
`, appName(app), 100*(i+1))
		}
	}
}

// chart writes an app as a chart whose objects take their names and data from
// values.
func (f fleet) chart(all files, app int) {
	dir := "apps/" + appName(app) + "/"
	all[dir+"Chart.yaml"] = "apiVersion: v2\nname: " + appName(app) + "\nversion: 1.0.0\n"
	all[dir+"values.yaml"] = "revision: \"1\"\nteam: bench\nsettings:\n  level: info\n  retries: 3\n"
	all[dir+"templates/_helpers.tpl"] = `{{- define "labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
team: {{ .Values.team | quote }}
{{- end }}
`
	if f.objects == 0 {
		f.service(all, dir)
	}
	for i := range f.objects {
		all[dir+fmt.Sprintf("templates/settings-%04d.yaml", i)] = fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Chart.Name }}-%d
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "labels" . | nindent 4 }}
  annotations:
    %s: {{ .Values.revision | quote }}
data:
  {{- range $key, $value := .Values.settings }}
  {{ $key }}: {{ $value | quote }}
  {{- end }}
  number: "%d"
`, i, revisionKey, i)
	}
}

// objectsOf returns an app's objects by file.
func (f fleet) objectsOf(app int) files {
	namespace := namespaceOf(app)
	if f.formOf(app) == overlays {
		namespace = "" // the overlays say
	}
	if f.objects == 0 {
		return four(appName(app), namespace)
	}
	const each = 100 // documents in a file
	all := files{}
	for first := 0; first < f.objects; first += each {
		var text strings.Builder
		for i := first; i < min(first+each, f.objects); i++ {
			fmt.Fprintf(&text, "---\n%sdata:\n  level: info\n  number: \"%d\"\n",
				head("v1", "ConfigMap", fmt.Sprintf("%s-%d", appName(app), i), namespace), i)
		}
		all[fmt.Sprintf("settings-%03d.yaml", first/each)] = text.String()
	}
	return all
}

func head(version, kind, name, namespace string) string {
	if namespace != "" {
		namespace = "  namespace: " + namespace + "\n"
	}
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n%s  labels:\n    app: %s\n  annotations:\n    %s: \"1\"\n",
		version, kind, name, namespace, name, revisionKey)
}

// four returns the objects of an ordinary service.
func four(name, namespace string) files {
	return files{
		"service-account.yaml": head("v1", "ServiceAccount", name, namespace) + "automountServiceAccountToken: false\n",
		"service.yaml": head("v1", "Service", name, namespace) +
			fmt.Sprintf("spec:\n  selector:\n    app: %s\n  ports:\n  - name: http\n    port: 80\n    targetPort: http\n", name),
		"ingress.yaml": head("networking.k8s.io/v1", "Ingress", name, namespace) + fmt.Sprintf(`spec:
  rules:
  - host: %[1]s.example.com
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service:
            name: %[1]s
            port: {name: http}
`, name),
		"deployment.yaml": head("apps/v1", "Deployment", name, namespace) + fmt.Sprintf(`spec:
  replicas: 0
  selector:
    matchLabels:
      app: %[1]s
  template:
    metadata:
      labels:
        app: %[1]s
    spec:
      serviceAccountName: %[1]s
      containers:
      - name: web
        image: registry.example.com/web:1
        ports:
        - name: http
          containerPort: 8080
        env:
        - name: LEVEL
          value: info
        readinessProbe:
          httpGet: {path: /ready, port: http}
`, name),
	}
}
