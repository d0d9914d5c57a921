package desired

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/render"
)

var rewrite = flag.Bool("rewrite", false, "write what was compiled into the table of the corpus")

// TestFluxCorpus compiles a public repository of Flux's for both of its clusters, with
// stand-ins for its charts, and holds what comes of it against a table.
func TestFluxCorpus(t *testing.T) {
	dir, err := filepath.Abs("../../../shared/corpus/flux2-kustomize-helm-example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no public repositories to compile beside the checkout (shared/corpus): %v", err)
	}
	charts := newStandIns(t, "podinfo 6.9.0", "gateway-helm 1.8.0", "cert-manager 1.19.0")
	files := map[string]string{
		"fleet.yaml": fmt.Sprintf("apiVersion: nave.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec:\n  sources:\n"+
			"  - {name: podinfo, type: helm, url: 'http://%[1]s/podinfo', deliveries: [staging, production]}\n"+
			"  - {name: envoy, type: helm, url: 'oci://%[1]s/envoyproxy', deliveries: [staging, production]}\n"+
			"  - {name: jetstack, type: helm, url: 'oci://%[1]s/jetstack/charts', deliveries: [staging, production]}\n", charts.host),
	}
	for _, env := range []string{"staging", "production"} {
		files["clusters/"+env+".yaml"] = cluster(env, env)
		files["deliveries/"+env+".yaml"] = fmt.Sprintf("apiVersion: nave.dev/v1alpha1\nkind: Delivery\nmetadata: {name: %[1]s}\nspec:\n"+
			"  clusters: {selector: {matchLabels: {env: %[1]s}}}\n  source: {path: clusters/%[1]s}\n  kind: flux\n", env)
	}
	corpus := os.DirFS(dir)
	err = fs.WalkDir(corpus, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(corpus, name)
		files[name] = strings.NewReplacer("https://stefanprodan.github.io", "http://"+charts.host,
			"oci://docker.io/", "oci://"+charts.host+"/", "oci://quay.io/", "oci://"+charts.host+"/").Replace(string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r := newRepository(t)
	r.commit(files)
	p := r.open(nil)
	var b strings.Builder
	compiled := compile(t, p, pin(t, p))
	for _, name := range slices.Sorted(maps.Keys(compiled)) {
		c := compiled[name]
		fmt.Fprintf(&b, "cluster %s: incomplete %v, problems %v\n", name, c.Incomplete, c.Problems)
		for _, d := range c.Apps {
			fmt.Fprintf(&b, "  %s of %q after [%s], prunes %v, goes with its objects %v\n", d.Name, d.Options.Lineage.Parent, strings.Join(d.Options.DependsOn, " "), d.Options.Prune, d.Options.Lineage.Cascade)
			for _, after := range d.Options.After {
				fmt.Fprintf(&b, "    after %s\n", after)
			}
			if d.Err != nil {
				fmt.Fprintf(&b, "    error %v\n", d.Err)
				continue
			}
			for _, u := range d.Bundle.Objects {
				fmt.Fprintf(&b, "    %s\n", object.Of(u))
				if server, ok := nested(u.Object, "spec", "acme", "server"); ok {
					fmt.Fprintf(&b, "      spec.acme.server %v\n", server)
				}
			}
			if release := d.Bundle.Release; release != nil {
				values, err := json.Marshal(release.Values)
				fmt.Fprintf(&b, "    release %s/%s of %s, values %s%s\n", release.Namespace, release.Name, strings.Split(c.Sources[d.Name][0].Commit, "@")[0], values, errText(err))
				for _, u := range renderRelease(t, p, release) {
					fmt.Fprintf(&b, "      %s %s\n", object.Of(u), content(t, u))
				}
			}
		}
	}
	const table = "testdata/flux-corpus.txt"
	if *rewrite {
		before, _ := os.ReadFile(table)
		comment, _, _ := strings.Cut(string(before), "cluster ")
		if err := os.WriteFile(table, []byte(comment+b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(want), "cluster ")
	if diff := cmp.Diff("cluster "+after, b.String()); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
}

// renderRelease renders a release as Helm does when it installs one.
func renderRelease(t *testing.T, p *Pipeline, release *app.Release) []*unstructured.Unstructured {
	t.Helper()
	files := fstest.MapFS{}
	for _, file := range release.Chart.Files {
		files[file.Name] = &fstest.MapFile{Data: file.Data}
	}
	helm := app.HelmOptions{ReleaseName: release.Name, Namespace: release.Namespace, Values: release.Values}
	result, err := p.render.Render(t.Context(), render.Request{Files: files, Path: ".", Params: app.Render{Kind: app.Helm, Namespace: release.Namespace, Helm: helm}})
	if err != nil {
		t.Fatalf("rendering release %s/%s: %v", release.Namespace, release.Name, err)
	}
	return result.Bundle.Objects
}

// content is what an object says beside what it is called.
func content(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	says := map[string]any{}
	for _, field := range []string{"spec", "data"} {
		if value, ok := u.Object[field]; ok {
			says[field] = value
		}
	}
	if annotations := u.GetAnnotations(); len(annotations) > 0 {
		says["annotations"] = annotations
	}
	data, err := json.Marshal(says)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func nested(content map[string]any, fields ...string) (any, bool) {
	var value any = content
	for _, field := range fields {
		entries, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		if value, ok = entries[field]; !ok {
			return nil, false
		}
	}
	return value, true
}

// standIns serve charts of any name as a Helm repository below /NAME, and as a registry
// below any path.
type standIns struct {
	host     string
	versions map[string]string // by chart
	archives map[string][]byte
}

// standInTemplates make of the values that the repository gives the charts what the
// charts themselves make of these, and nothing else.
var standInTemplates = map[string]string{
	"podinfo": `apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {ports: [{name: http, port: {{ .Values.service.externalPort }}}]}
---
{{- if .Values.redis.enabled }}
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}-redis}
spec:
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec: {containers: [{name: redis, image: "{{ .Values.redis.repository }}:{{ .Values.redis.tag }}"}]}
{{- end }}
---
{{- if .Values.httpRoute.enabled }}
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: {{ .Release.Name }}}
spec:
  parentRefs: {{ toJson .Values.httpRoute.parentRefs }}
  hostnames: {{ toJson .Values.httpRoute.hostnames }}
  rules: {{ toJson .Values.httpRoute.rules }}
{{- end }}
`,
	"gateway-helm": "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: {{ .Release.Name }}}\n",
	"cert-manager": `apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {config.yaml: {{ toYaml .Values.config | quote }}}
---
{{- if .Values.crds.enabled }}
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: clusterissuers.cert-manager.io
  {{- if .Values.crds.keep }}
  annotations: {helm.sh/resource-policy: keep}
  {{- end }}
spec: {group: cert-manager.io, scope: Cluster, names: {kind: ClusterIssuer, plural: clusterissuers}}
{{- end }}
`,
}

// standInValues are the defaults of the charts.
var standInValues = map[string]string{
	"podinfo":      "service: {externalPort: 9898}\nredis: {enabled: false, repository: redis, tag: latest}\nhttpRoute: {enabled: false}\n",
	"cert-manager": "config: {}\ncrds: {enabled: false, keep: true}\n",
}

func newStandIns(t *testing.T, charts ...string) *standIns {
	t.Helper()
	s := &standIns{versions: map[string]string{}, archives: map[string][]byte{}}
	for _, text := range charts {
		name, version, _ := strings.Cut(text, " ")
		s.versions[name], s.archives[name] = version, archive(t, name, map[string]string{
			"Chart.yaml":         fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\n", name, version),
			"templates/all.yaml": standInTemplates[name], "values.yaml": standInValues[name],
		})
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.host = strings.TrimPrefix(server.URL, "http://")
	return s
}

// archive packs a chart.
func archive(t *testing.T, name string, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for _, file := range slices.Sorted(maps.Keys(files)) {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path.Join(name, file), Size: int64(len(files[file])), Mode: 0o644})
		if err == nil {
			_, err = w.Write([]byte(files[file]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func digestOf(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// manifest is what a registry says of a chart.
func (s *standIns) manifest(name string) []byte {
	config := []byte(fmt.Sprintf(`{"name":%q,"version":%q}`, name, s.versions[name]))
	return []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",`+
		`"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":%q,"size":%d},`+
		`"layers":[{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":%q,"size":%d}]}`,
		digestOf(config), len(config), digestOf(s.archives[name]), len(s.archives[name])))
}

// ServeHTTP answers /NAME/index.yaml, /NAME/NAME.tgz, and /v2/PATH/NAME/… of a registry.
func (s *standIns) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	last := parts[len(parts)-1]
	name := parts[max(0, len(parts)-2)]
	if parts[0] == "v2" && len(parts) > 3 {
		name = parts[len(parts)-3]
	}
	switch {
	case r.URL.Path == "/v2/":
	case s.archives[name] == nil:
		http.NotFound(w, r)
	case last == "index.yaml":
		fmt.Fprintf(w, "apiVersion: v1\nentries:\n  %[1]s:\n  - {name: %[1]s, version: %[2]q, digest: %[3]s, urls: [%[1]s.tgz]}\n",
			name, s.versions[name], strings.TrimPrefix(digestOf(s.archives[name]), "sha256:"))
	case strings.HasSuffix(last, ".tgz"):
		w.Write(s.archives[name])
	case last == "list":
		fmt.Fprintf(w, `{"name":%q,"tags":[%q]}`, strings.Join(parts[1:len(parts)-2], "/"), s.versions[name])
	case last == s.versions[name] || last == digestOf(s.manifest(name)):
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", digestOf(s.manifest(name)))
		w.Write(s.manifest(name))
	case last == digestOf(s.archives[name]):
		w.Write(s.archives[name])
	default:
		http.NotFound(w, r)
	}
}
