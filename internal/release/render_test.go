package release

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/kube"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"nave.dev/internal/app"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

// plainly is a Renderer that runs templates where it is called, by Helm's own engine.
type plainly struct{}

func (plainly) Templates(_ context.Context, in app.Templates, lookup app.Lookup) (map[string]string, error) {
	c, err := readChart(in.Chart)
	if err != nil {
		return nil, err
	}
	if in.Reused != nil {
		c.Values = in.Reused
	}
	values, err := plain(in.Values)
	if err != nil {
		return nil, err
	}
	if err := chartutil.ProcessDependencies(c, values); err != nil {
		return nil, err
	}
	options := common.ReleaseOptions{Name: in.Name, Namespace: in.Namespace, Revision: in.Revision, IsInstall: !in.Upgrade, IsUpgrade: in.Upgrade}
	top, err := util.ToRenderValuesWithSchemaValidation(c, values, options, common.DefaultCapabilities, in.NoSchema)
	if err != nil {
		return nil, err
	}
	ask := func(apiVersion, kind, namespace, name string) (map[string]any, error) {
		return lookup(apiVersion, kind, namespace, name)
	}
	return engine.Engine{CustomTemplateFuncs: template.FuncMap{"lookup": ask}}.Render(c, top)
}

func (plainly) PostRender(_ context.Context, _ *app.Release, manifests []byte) ([]byte, error) {
	return manifests, nil
}

// wholeChart has everything that shows in a record, and text that a template would take for its own.
var wholeChart = map[string]string{
	"Chart.yaml": "{apiVersion: v2, name: whole, version: 1.0.0, appVersion: x, dependencies: [" +
		"{name: sub, version: 1.0.0, alias: other, import-values: [{child: give, parent: given}]}, {name: extra, version: 1.0.0, condition: extra.enabled}]}",
	"values.yaml":                    "color: blue\nnumber: 1000000\nextra: {enabled: false}\n",
	"values.schema.json":             `{"properties": {"color": {"type": "string"}}}`,
	"README.md":                      "read me",
	"templates/_helpers.tpl":         `{{ define "whole.name" }}{{ .Release.Name }}-{{ .Release.Revision }}-{{ .Release.IsUpgrade }}{{ end }}`,
	"templates/NOTES.txt":            `{{ "{{ not run }}" }} {{ include "whole.name" . }}` + "\n",
	"templates/a.yaml":               "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '{{ \"{{ .Values.x }} {{- \" }} }}', name: '{{ include \"whole.name\" . }}', number: '{{ .Values.number }}', givenumber: '{{ .Values.given.count }}', color: '{{ .Values.color }}'}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: aa}\n",
	"templates/hook.yaml":            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hook, annotations: {helm.sh/hook: 'pre-install,pre-upgrade', helm.sh/hook-weight: '3'}}\n",
	"templates/empty.yaml":           "{{ if false }}x{{ end }}",
	"crds/c.yaml":                    "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: wholes.release.test}\nspec: {group: release.test, names: {kind: Whole, plural: wholes}, scope: Namespaced, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}\n",
	"charts/sub/Chart.yaml":          "{apiVersion: v2, name: sub, version: 1.0.0}",
	"charts/sub/values.yaml":         "give: {count: 7}\n",
	"charts/sub/templates/s.yaml":    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sub}\ndata: {chart: {{ .Chart.Name }}}\n",
	"charts/sub/templates/NOTES.txt": "of the other\n",
	"charts/extra/Chart.yaml":        "{apiVersion: v2, name: extra, version: 1.0.0}",
	"charts/extra/templates/o.yaml":  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: turned-off}\n",
}

// stored returns what a record says, save for times and labels.
func (w *world) stored(revision int) map[string]any {
	w.t.Helper()
	u, err := w.kube.CoreV1().Secrets(w.namespace).Get(w.t.Context(), fmt.Sprintf("sh.helm.release.v1.web.v%d", revision), metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	data, err := base64.StdEncoding.DecodeString(string(u.Data["release"]))
	if err != nil {
		w.t.Fatal(err)
	}
	var record map[string]any
	if err := json.Unmarshal(inflate(w.t, data), &record); err != nil {
		w.t.Fatal(err)
	}
	clean(record)
	return record
}

// clean takes out the times, and what differs by the namespace.
func clean(value any) {
	switch value := value.(type) {
	case map[string]any:
		for _, key := range []string{"first_deployed", "last_deployed", "started_at", "completed_at", "namespace", "modtime", "schemamodtime"} {
			delete(value, key)
		}
		for _, entry := range value {
			clean(entry)
		}
	case []any:
		for _, entry := range value {
			clean(entry)
		}
	}
}

// What is recorded is what Helm itself would have recorded.
func TestRecordsAreThoseOfHelm(t *testing.T) {
	ours, helms := newWorld(t), newWorld(t)
	var files []app.ChartFile
	for _, name := range slices.Sorted(maps.Keys(wholeChart)) {
		files = append(files, app.ChartFile{Name: name, Data: []byte(wholeChart[name])})
	}
	ours.target.Release.Chart.Files, helms.target.Release.Chart.Files = files, files
	revisions := []map[string]any{{"color": "red"}, {"color": "green", "extra": map[string]any{"enabled": true}}, {"more": "{{ fail }}"}}
	for i, values := range revisions {
		reuse := i == 2
		ours.set(values)
		ours.target.Release.Upgrade.ReuseValues = reuse
		if result := ours.sync(); !result.Current {
			t.Fatalf("revision %d: %+v", i+1, result)
		}
		helms.byHelm(values, reuse)
		have, want := ours.stored(i+1), helms.stored(i+1)
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("revision %d (-Helm +have):\n%s", i+1, diff)
		}
	}
	if notes := fmt.Sprint(ours.stored(3)["info"]); !strings.Contains(notes, "{{ not run }} web-3-true") {
		t.Errorf("there are no notes: %s", notes)
	}
}

// byHelm installs or upgrades as Helm does by itself.
func (w *world) byHelm(values map[string]any, reuse bool) {
	w.t.Helper()
	run, err := w.client().begin(w.t.Context(), w.target)
	if err != nil {
		w.t.Fatal(err)
	}
	defer run.end()
	h, err := run.helm(decision{})
	if err != nil {
		w.t.Fatal(err)
	}
	config := h.config
	config.KubeClient = kube.New(run.own)
	c, err := readChart(w.target.Release.Chart)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := config.Releases.Last("web"); err != nil {
		install := action.NewInstall(config)
		install.ReleaseName, install.Namespace, install.WaitStrategy = "web", w.namespace, kube.HookOnlyStrategy
		install.PostRenderer, install.SkipCRDs = h.guard, true
		install.ServerSideApply, install.ForceConflicts = true, true
		_, err = install.Run(c, values)
		if err != nil {
			w.t.Fatal(err)
		}
		return
	}
	upgrade := action.NewUpgrade(config)
	upgrade.Namespace, upgrade.WaitStrategy, upgrade.ReuseValues, upgrade.ResetValues = w.namespace, kube.HookOnlyStrategy, reuse, !reuse
	upgrade.PostRenderer, upgrade.SkipCRDs = h.guard, true
	if _, err := upgrade.Run("web", c, values); err != nil {
		w.t.Fatal(err)
	}
}

// A password that is made once stays what it is.
func TestLookupSeesTheCluster(t *testing.T) {
	w := newWorld(t)
	w.target.Release.Chart.Files = []app.ChartFile{
		{Name: "Chart.yaml", Data: []byte("{apiVersion: v2, name: c, version: 1.0.0}")},
		{Name: "templates/s.yaml", Data: []byte(`{{ $there := lookup "v1" "Secret" .Release.Namespace "password" }}
apiVersion: v1
kind: Secret
metadata: {name: password, annotations: {color: '{{ .Values.color }}'}}
data: {password: {{ if $there }}{{ $there.data.password }}{{ else }}{{ randAlphaNum 20 | b64enc }}{{ end }}}
`)},
	}
	password := func() *corev1.Secret {
		u, err := w.kube.CoreV1().Secrets(w.namespace).Get(t.Context(), "password", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	w.set(map[string]any{"color": "red"})
	w.sync()
	first := password()
	w.set(map[string]any{"color": "green"})
	w.sync()
	second := password()
	if second.Annotations["color"] != "green" || len(first.Data["password"]) != 20 {
		t.Fatalf("it was not upgraded: %v, then %v", first, second)
	}
	if string(first.Data["password"]) != string(second.Data["password"]) {
		t.Error("an upgrade has made another password")
	}
}

// What an upgrade would change is told, and nothing is done.
func TestPreviewOfAnUpgrade(t *testing.T) {
	w := newWorld(t)
	w.set(map[string]any{"color": "red"})
	preview := func() ([]string, bool) {
		changes, due, err := w.client().Preview(t.Context(), w.target)
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, entry := range changes {
			told = append(told, fmt.Sprintf("%s %s/%s %d", entry.Action, entry.Object.Kind, entry.Object.Name, len(entry.Fields)))
		}
		return told, due
	}
	if told, due := preview(); due {
		t.Errorf("an installation is told as an upgrade: %v", told)
	}
	w.sync()
	if told, due := preview(); due {
		t.Errorf("nothing is due, and told is %v", told)
	}
	w.set(map[string]any{"color": "green", "more": false})
	gone := object.ID{Kind: "ConfigMap", Namespace: w.target.Release.Namespace, Name: "web-b"}
	before, requests := w.records(), w.writes.Load()
	told, due := preview()
	if diff := cmp.Diff([]string{"updated ConfigMap/web-a 2", "deleted ConfigMap/web-b 0"}, told); !due || diff != "" {
		t.Errorf("due is %v (-want +have):\n%s", due, diff)
	}
	if diff := cmp.Diff(before, w.records()); diff != "" || w.color() != "red" {
		t.Errorf("something was done in %d requests: the color is %q, and the records are (-want +have):\n%s", w.writes.Load()-requests, w.color(), diff)
	}
	for _, test := range []struct {
		reason string
		review Review
		want   string
	}{
		{"a deletion that the review lets through", Review{Delete: []object.ID{gone}}, "deleted"},
		{"one that waits for a confirmation; the rest is told as well", Review{Held: &Held{Reason: "too many", Objects: []object.ID{gone}}}, "held: too many"},
		{"an object that stays", Review{Kept: change.Set{{Object: gone, Action: change.Orphaned, Reason: "pruning is off"}}}, "orphaned: pruning is off"},
	} {
		var asked []object.ID
		w.target.Review = func(removal Removal) Review {
			for _, u := range removal.Gone {
				asked = append(asked, object.Of(u))
			}
			return test.review
		}
		changes, _, err := w.client().Preview(t.Context(), w.target)
		if err != nil {
			t.Errorf("%s: %v", test.reason, err)
			continue
		}
		var have []string
		for _, entry := range changes {
			told := string(entry.Action)
			if entry.Reason != "" {
				told += ": " + entry.Reason
			}
			have = append(have, entry.Object.Name+" "+told)
		}
		if diff := cmp.Diff([]string{"web-a updated", "web-b " + test.want}, have); diff != "" {
			t.Errorf("%s (-want +have):\n%s", test.reason, diff)
		}
		if diff := cmp.Diff([]object.ID{gone}, asked); diff != "" {
			t.Errorf("%s: what the review was asked about (-want +have):\n%s", test.reason, diff)
		}
	}
	w.target.Review = nil
	if result := w.sync(); !result.Current || w.color() != "green" {
		t.Errorf("the upgrade came to %+v", result)
	}
}

// Templates look up no more than is bearable.
func TestLookupsAreBounded(t *testing.T) {
	w := newWorld(t)
	w.target.Release.Chart.Files = []app.ChartFile{
		{Name: "Chart.yaml", Data: []byte("{apiVersion: v2, name: c, version: 1.0.0}")},
		{Name: "templates/s.yaml", Data: []byte(`{{ range until 1001 }}{{ lookup "v1" "ConfigMap" "none" "none" }}{{ end }}`)},
	}
	if result, err := w.client().Sync(t.Context(), w.target); err == nil || !strings.Contains(err.Error(), "look up more than 1000 objects") {
		t.Errorf("1,001 lookups came to %v, %+v", err, result)
	}
}

func inflate(t *testing.T, data []byte) []byte {
	t.Helper()
	reader, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
