package swarm

import (
	"fmt"
	"os"
	"path/filepath"
)

// environments are dealt to clusters in turn; those of one share their renders.
var environments = []string{"dev", "staging", "prod"}

func clusterName(i int) string { return fmt.Sprintf("cluster-%04d", i) }
func appName(i int) string     { return fmt.Sprintf("app-%03d", i) }

// baseFile is where a line changes an object of every cluster.
var baseFile = "apps/" + appName(0) + "/base/deployment.yaml"

// writeFleet writes a fleet repository: a Cluster for each agent, and apps of four
// objects in Kustomize, with an overlay for each environment.
func writeFleet(dir string, clusters, apps int) error {
	files := map[string]string{
		"fleet.yaml": "apiVersion: nave.dev/v1alpha1\nkind: Fleet\nmetadata:\n  name: swarm\n",
		"README.md":  "A fleet to measure.\n",
	}
	for i := range clusters {
		files["clusters/"+clusterName(i)+".yaml"] = fmt.Sprintf("apiVersion: nave.dev/v1alpha1\nkind: Cluster\nmetadata:\n  name: %s\n  labels:\n    env: %s\n",
			clusterName(i), environments[i%len(environments)])
	}
	for i := range apps {
		name := appName(i)
		files["deliveries/"+name+".yaml"] = fmt.Sprintf(`apiVersion: nave.dev/v1alpha1
kind: Delivery
metadata:
  name: %[1]s
spec:
  clusters: {all: true}
  source:
    path: apps/%[1]s/overlays/${cluster.labels.env}
  namespace: %[1]s
`, name)
		base := "apps/" + name + "/base/"
		files[base+"kustomization.yaml"] = "resources: [service-account.yaml, service.yaml, settings.yaml, deployment.yaml]\n"
		files[base+"service-account.yaml"] = fmt.Sprintf("apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: %s\n", name)
		files[base+"service.yaml"] = fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata:\n  name: %[1]s\nspec:\n  selector:\n    app: %[1]s\n  ports:\n  - port: 80\n", name)
		files[base+"settings.yaml"] = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\ndata:\n  level: info\n", name)
		files[base+"deployment.yaml"] = deployment(name, 1)
		for _, env := range environments {
			files["apps/"+name+"/overlays/"+env+"/kustomization.yaml"] = fmt.Sprintf(
				"resources: [../../base]\nlabels:\n- pairs: {env: %s}\n", env)
		}
	}
	for name, content := range files {
		if err := writeFile(filepath.Join(dir, filepath.FromSlash(name)), content); err != nil {
			return err
		}
	}
	return nil
}

// deployment is the Deployment of an app, of some version.
func deployment(name string, version int) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
spec:
  replicas: 2
  selector:
    matchLabels: {app: %[1]s}
  template:
    metadata:
      labels: {app: %[1]s}
    spec:
      serviceAccountName: %[1]s
      containers:
      - name: web
        image: registry.example.com/web:%[2]d
        readinessProbe:
          httpGet: {path: /ready, port: 8080}
`, name, version)
}

func writeFile(file, content string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(content), 0o644)
}
