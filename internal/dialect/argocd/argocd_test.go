package argocd_test

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app/asking"
	"nave.dev/internal/dialect/argocd"
	"nave.dev/internal/dialect/dialecttest"
	"nave.dev/internal/object"
)

func TestInstallation(t *testing.T) {
	for _, test := range []struct {
		reason, manifest string
		want             bool
	}{
		{"a part by its labels", `{apiVersion: v1, kind: ConfigMap, metadata: {name: argocd-cm, labels: {app.kubernetes.io/name: argocd-cm, app.kubernetes.io/part-of: argocd}}}`, true},
		{"what somebody counts to it", `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, labels: {app.kubernetes.io/part-of: argocd}}}`, false},
		{"what has another name there", `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, labels: {app.kubernetes.io/name: dashboards, app.kubernetes.io/part-of: argocd}}}`, false},
		{"a part of something else", `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, labels: {app.kubernetes.io/name: argocd-notes, app.kubernetes.io/part-of: notes}}}`, false},
		{"a definition", `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: applications.argoproj.io}}`, true},
		{"that of another project of the group", `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: rollouts.argoproj.io}}`, false},
		{"what runs its image", `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: x}, spec: {template: {spec: {containers: [{image: "registry:5000/argoproj/argocd:v3@sha256:00"}]}}}}`, true},
		{"what runs another image", `{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {template: {spec: {containers: [{image: "x/argoproj/argocd-image-updater:v1"}]}}}}`, false},
		{"a repository", `{apiVersion: v1, kind: Secret, metadata: {name: x, labels: {argocd.argoproj.io/secret-type: repository}}}`, true},
		{"a Secret", `{apiVersion: v1, kind: Secret, metadata: {name: argocd}}`, false},
		{"its namespace, in which other things may be", `{apiVersion: v1, kind: Namespace, metadata: {name: argocd, labels: {app.kubernetes.io/part-of: argocd}}}`, false},
		{"an Application", `{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: x}}`, false},
	} {
		t.Run(test.reason, func(t *testing.T) {
			if got := argocd.Installation(dialecttest.Manifests(t, []byte(test.manifest))[0]); got != test.want {
				t.Errorf("it is %v", got)
			}
		})
	}
}

func TestInterprets(t *testing.T) {
	for kind, want := range map[string]bool{"Application": true, "AppProject": true, "ApplicationSet": true, "Rollout": false, "Workflow": false} {
		if got := (argocd.Dialect{}).Interprets(object.ID{Group: argocd.Group, Kind: kind, Name: "x"}); got != want {
			t.Errorf("%s: %v", kind, got)
		}
	}
	if (argocd.Dialect{}).Interprets(object.ID{Group: "app.k8s.io", Kind: "Application", Name: "x"}) {
		t.Error("an Application of another group")
	}
}

// TestManyWaves says that a tree whose apps would wait for each other without end
// is told of, and takes no memory.
func TestManyWaves(t *testing.T) {
	request := asking.Request{Delivery: "root", Cluster: "prod", Members: []asking.Member{{Name: "prod"}}}
	var all strings.Builder
	for i := range 4000 {
		name, _ := json.Marshal(i)
		all.WriteString("---\n{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: app-" + string(name) + ", annotations: {argocd.argoproj.io/sync-wave: '" + string(name) +
			"'}}, spec: {source: {repoURL: git, path: x}, destination: {name: in-cluster}}}\n")
	}
	for _, manifest := range dialecttest.Manifests(t, []byte(all.String())) {
		request.Objects = append(request.Objects, asking.Object{Manifest: manifest, App: "root"})
	}
	result := (argocd.Dialect{}).Read(request)
	if result.Incomplete == nil || !strings.Contains(result.Incomplete.Error(), "use fewer waves") {
		t.Errorf("incomplete: %v", result.Incomplete)
	}
	if len(result.Children)+len(result.Failed) != 4000 {
		t.Errorf("%d apps and %d that failed", len(result.Children), len(result.Failed))
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"kind":"Application","metadata":{"name":"a"},"spec":{"source":{"repoURL":"git","path":"x","helm":{"values":"a: b","valueFiles":["$x/y"]}},"destination":{"name":"in-cluster"},"syncPolicy":{"retry":{"backoff":{"duration":"1"}}}}}`,
		`{"kind":"Application","metadata":{"name":"a"},"spec":{"sources":[{"ref":"r"},{"chart":"c"}],"project":"p","destination":{"server":"https://kubernetes.default.svc"}}}`,
		`{"kind":"AppProject","metadata":{"name":"p"},"spec":{"sourceRepos":["!{a,b}","[x"],"destinations":[{"server":"*","namespace":"!x"}],"syncWindows":[{"kind":"deny","schedule":"* * * * *","duration":"1h","applications":["*"]}]}}`,
		`{"kind":"ApplicationSet","metadata":{"name":"s"},"spec":{"goTemplate":true,"generators":[{"matrix":{"generators":[{"list":{"elements":[{"a":1}]}},{"clusters":{}}]}}],"template":{"metadata":{"name":"{{.a}}"},"spec":{"destination":{"name":"{{.name}}"}}},"templatePatch":"{{ toYaml . }}"}}`,
		`{"kind":"ApplicationSet","metadata":null,"spec":{"generators":[null,{"merge":{"generators":null}},[]],"template":null}}`,
		`{"kind":"ApplicationSet","metadata":{"name":"s"},"spec":{"generators":[{"list":{"elements":[null,{}]},"selector":{"matchExpressions":[{}]}}],"template":{"metadata":[],"spec":3},"templatePatch":"$patch: delete"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var content map[string]any
		if json.Unmarshal(data, &content) != nil || content == nil {
			return
		}
		content["apiVersion"] = "argoproj.io/v1alpha1"
		request := asking.Request{Delivery: "root", Cluster: "prod", Members: []asking.Member{{Name: "prod", Labels: map[string]string{"a": "b"}}}}
		for range 2 {
			request.Objects = append(request.Objects, asking.Object{Manifest: &unstructured.Unstructured{Object: content}, App: "root"})
		}
		for _, child := range (argocd.Dialect{}).Read(request).Children {
			if child.Name == "" || child.Cluster != "prod" || len(child.Origins) == 0 {
				t.Errorf("a child without a name, a cluster or a source: %+v", child)
			}
		}
	})
}
