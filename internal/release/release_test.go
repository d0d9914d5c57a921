package release

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"nave.dev/internal/app"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
	"nave.dev/internal/testenv"
)

// chartFiles is a chart of a ConfigMap that shows a value, of one that can be turned off, and of a Service that an API
// server refuses if its port is none.
var chartFiles = map[string]string{
	"Chart.yaml":  "{apiVersion: v2, name: c, version: 1.0.0}",
	"values.yaml": "color: blue\nmore: true\nport: 80\n",
	"templates/a.yaml": `apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-a}
data: {color: {{ .Values.color }}, revision: "{{ .Release.Revision }}"}
`,
	"templates/b.yaml": `{{ if .Values.more }}
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-b}
{{ end }}`,
	"templates/s.yaml": `apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {ports: [{port: {{ .Values.port }}}], clusterIP: None}
`,
}

// world is a namespace of an API server, and a release in it.
type world struct {
	t         *testing.T
	kube      kubernetes.Interface
	config    *rest.Config
	namespace string
	target    Target
	requests  *atomic.Int64
	writes    *atomic.Int64
	// cut, unless 0, ends the run at that write, before it is sent.
	cut  *atomic.Int64
	stop context.CancelFunc
}

func newWorld(t *testing.T) *world {
	t.Helper()
	env := testenv.New(t)
	client, err := kubernetes.NewForConfig(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, kube: client, config: rest.CopyConfig(env.Config), namespace: env.Namespace(t), requests: &atomic.Int64{}, writes: &atomic.Int64{}, cut: &atomic.Int64{}}
	w.config.Wrap(func(next http.RoundTripper) http.RoundTripper { return counting{next, w} })
	r := &app.Release{Name: "web", Namespace: w.namespace, Install: app.ReleaseAction{NoWait: true}, Upgrade: app.ReleaseAction{NoWait: true}, Rollback: app.ReleaseAction{NoWait: true}, Values: map[string]any{}}
	for name, data := range chartFiles {
		r.Chart.Files = append(r.Chart.Files, app.ChartFile{Name: name, Data: []byte(data)})
	}
	w.target = Target{App: "web", Release: r}
	return w
}

// counting counts requests, and cuts a run off at one that writes.
type counting struct {
	next http.RoundTripper
	w    *world
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.w.requests.Add(1)
	if r.Method != http.MethodGet {
		if n := c.w.writes.Add(1); n == c.w.cut.Load() {
			c.w.stop()
			return nil, context.Canceled
		}
	}
	return c.next.RoundTrip(r)
}

func (w *world) client() *Client {
	w.t.Helper()
	c, err := New(w.config, plainly{}, Options{Fleet: "f"})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) sync() Result {
	w.t.Helper()
	result, err := w.client().Sync(w.t.Context(), w.target)
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}

// set gives the chart other values.
func (w *world) set(values map[string]any) { w.target.Release.Values = values }

// color is what the release's first object shows, empty if there is none.
func (w *world) color() string {
	w.t.Helper()
	u, err := w.kube.CoreV1().ConfigMaps(w.namespace).Get(w.t.Context(), "web-a", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return u.Data["color"]
}

// records are the revisions, as "1 superseded".
func (w *world) records() (all []string) {
	w.t.Helper()
	list, err := w.kube.CoreV1().Secrets(w.namespace).List(w.t.Context(), metav1.ListOptions{LabelSelector: "owner=helm"})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, u := range list.Items {
		all = append(all, u.Labels["version"]+" "+u.Labels["status"])
	}
	slices.Sort(all)
	return all
}

func (w *world) expect(reason string, result Result, steps []Step, records ...string) {
	w.t.Helper()
	if diff := cmp.Diff(steps, result.Steps); diff != "" {
		w.t.Errorf("%s: steps (-want +have):\n%s%+v", reason, diff, result)
	}
	if diff := cmp.Diff(records, w.records()); diff != "" {
		w.t.Errorf("%s: records (-want +have):\n%s", reason, diff)
	}
}

func TestLife(t *testing.T) {
	w := newWorld(t)
	result := w.sync()
	w.expect("first", result, []Step{Install}, "1 deployed")
	if !result.Current || result.Revision != 1 || result.Changes.Count(change.Created) != 3 || w.color() != "blue" {
		t.Errorf("installed: %+v, color %q", result, w.color())
	}

	c := w.client()
	w.requests.Store(0)
	w.writes.Store(0)
	result, err := c.Sync(t.Context(), w.target)
	if err != nil || !result.Current || w.requests.Load() != 1 || w.writes.Load() != 0 {
		t.Errorf("a look at what is as it should be: %d requests, %d writes, %+v, %v", w.requests.Load(), w.writes.Load(), result, err)
	}

	w.set(map[string]any{"color": "red", "more": false})
	result = w.sync()
	w.expect("another value", result, []Step{Upgrade}, "1 superseded", "2 deployed")
	if w.color() != "red" || result.Changes.Count(change.Deleted) != 1 {
		t.Errorf("color %q, changes:\n%s", w.color(), result.Changes)
	}

	result, err = w.client().Remove(t.Context(), w.target)
	if err != nil || result.Present || w.color() != "" || len(w.records()) > 0 {
		t.Errorf("removed: %+v, %v, color %q, records %v", result, err, w.color(), w.records())
	}
	if result, err = w.client().Remove(t.Context(), w.target); err != nil || len(result.Steps) > 0 {
		t.Errorf("removed again: %+v, %v", result, err)
	}
}

func TestAnotherChart(t *testing.T) {
	w := newWorld(t)
	w.sync()
	for i, file := range w.target.Release.Chart.Files {
		if file.Name == "Chart.yaml" {
			w.target.Release.Chart.Files[i].Data = []byte("{apiVersion: v2, name: d, version: 1.0.0}")
		}
	}
	w.expect("another name is an upgrade", w.sync(), []Step{Upgrade}, "1 superseded", "2 deployed")
	for i, file := range w.target.Release.Chart.Files {
		if file.Name == "Chart.yaml" {
			w.target.Release.Chart.Files[i].Data = []byte("{apiVersion: v2, name: e, version: 1.0.0}")
		}
	}
	w.target.Release.Reinstall = true
	w.expect("unless it is to be installed anew", w.sync(), []Step{Upgrade, Install}, "1 deployed")
	if w.color() != "blue" {
		t.Errorf("color %q", w.color())
	}
}

func TestDrift(t *testing.T) {
	w := newWorld(t)
	w.sync()
	check := func(some ...object.ID) Check {
		t.Helper()
		c, err := w.client().Check(t.Context(), w.target, some)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	edit := func(patch string) {
		t.Helper()
		if _, err := w.kube.CoreV1().ConfigMaps(w.namespace).Patch(t.Context(), "web-a", types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
			t.Fatal(err)
		}
	}
	edit(`{"data":{"color":"drift","own":"mine"}}`)
	w.writes.Store(0)
	if c := check(); len(c.Changes) > 0 || len(c.Live) > 0 || len(c.Objects) != 3 || w.writes.Load() > 0 {
		t.Errorf("drift is not looked for: %+v, %d writes", c, w.writes.Load())
	}
	w.target.Release.Drift = app.DriftReported
	c := check()
	if c.Changes.Count(change.Drifted) != 1 || len(c.Live) != 2 || w.color() != "drift" {
		t.Errorf("reported: %+v, color %q", c, w.color())
	}
	if fields := c.Changes[0].Fields; len(fields) != 1 || fields[0].String() != `data.color: "drift" -> "blue"` {
		t.Errorf("fields %v", fields)
	}
	a := object.ID{Kind: "ConfigMap", Namespace: w.namespace, Name: "web-a"}
	if c := check(object.ID{Kind: "ConfigMap", Namespace: w.namespace, Name: "web-b"}); len(c.Changes) > 0 || len(c.Live) != 1 {
		t.Errorf("only another object is looked at: %+v", c)
	}
	w.target.Release.Drift = app.DriftCorrected
	w.target.Ignored = func(id object.ID, _, _ *unstructured.Unstructured) ([][]any, error) {
		if id == a {
			return [][]any{{"data", "color"}}, nil
		}
		return nil, nil
	}
	if c := check(); len(c.Changes) > 0 || w.color() != "drift" {
		t.Errorf("ignored: %+v, color %q", c, w.color())
	}
	w.target.Ignored = nil
	if c := check(a); c.Changes.Count(change.Corrected) != 1 || len(c.Live) != 1 || w.color() != "blue" {
		t.Errorf("corrected: %+v, color %q", c, w.color())
	}
	u, err := w.kube.CoreV1().ConfigMaps(w.namespace).Get(t.Context(), "web-a", metav1.GetOptions{})
	if err != nil || u.Data["own"] != "mine" {
		t.Errorf("what others added is taken away: %v, %v", u.Data, err)
	}
	if err := w.kube.CoreV1().ConfigMaps(w.namespace).Delete(t.Context(), "web-a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if c := check(a); c.Changes.Count(change.Corrected) != 1 || w.color() != "blue" {
		t.Errorf("made again: %+v, color %q", c, w.color())
	}
	w.expect("and no revision is made", w.sync(), nil, "1 deployed")
}

func TestFailedUpgrade(t *testing.T) {
	w := newWorld(t)
	w.sync()
	w.set(map[string]any{"color": "red", "port": 99999})
	result := w.sync()
	w.expect("it is left as it failed", result, []Step{Upgrade}, "1 deployed", "2 failed")
	if result.Current || !result.Exhausted || result.Failures != 1 || !strings.Contains(result.Failed, "99999") {
		t.Errorf("%+v", result)
	}
	w.expect("and not tried again", w.sync(), nil, "1 deployed", "2 failed")

	w.target.Release.Upgrade.Remediation = app.Remediation{Retries: 1, Last: true}
	w.expect("a retry begins with a rollback", w.sync(), []Step{Rollback}, "1 superseded", "2 failed", "3 deployed")
	if w.color() != "blue" {
		t.Errorf("rolled back to the color %q", w.color())
	}
	w.expect("fails again, and is rolled back", w.sync(), []Step{Upgrade, Rollback}, "1 superseded", "2 failed", "3 superseded", "4 failed", "5 deployed")
	result = w.sync()
	if len(result.Steps) > 0 || !result.Exhausted || result.Failures != 2 || w.color() != "blue" {
		t.Errorf("after the last retry: %+v, color %q", result, w.color())
	}

	w.set(map[string]any{"color": "green"})
	if result = w.sync(); !result.Current || w.color() != "green" {
		t.Errorf("another target: %+v, color %q", result, w.color())
	}
}

func TestFailedInstallation(t *testing.T) {
	w := newWorld(t)
	w.set(map[string]any{"port": 99999})
	w.target.Release.Install.Remediation = app.Remediation{Retries: 1}
	result := w.sync()
	w.expect("it is uninstalled", result, []Step{Install, Uninstall})
	if w.color() != "" || result.Failures != 1 {
		t.Errorf("color %q, %+v", w.color(), result)
	}
	w.target.Lost = result.Lost
	result = w.sync()
	w.expect("the last one is left", result, []Step{Install}, "1 failed")
	if !result.Exhausted || result.Failures != 2 {
		t.Errorf("after the last retry: %+v", result)
	}
	w.expect("and not tried again", w.sync(), nil, "1 failed")
	w.set(map[string]any{})
	w.target.Lost = 0
	if result = w.sync(); !result.Current || w.color() != "blue" {
		t.Errorf("another target: %+v, color %q", result, w.color())
	}
}

// However a run is broken off, the next one brings the release to what it should be.
func TestBrokenOff(t *testing.T) {
	for _, test := range []struct {
		name  string
		begin func(w *world)
		want  string
	}{
		{"install", func(*world) {}, "blue"},
		{"upgrade", func(w *world) {
			w.sync()
			w.set(map[string]any{"color": "red", "more": false})
		}, "red"},
		{"rollback", func(w *world) {
			w.sync()
			w.set(map[string]any{"color": "red", "port": 99999})
			w.target.Release.Upgrade.Remediation.Last = true
		}, "blue"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for at := int64(1); ; at++ {
				w := newWorld(t)
				test.begin(w)
				w.writes.Store(0)
				w.cut.Store(at)
				ctx, stop := context.WithCancel(t.Context())
				w.stop = stop
				_, err := w.client().Sync(ctx, w.target)
				broken := ctx.Err() != nil
				stop()
				if broken && err == nil {
					t.Errorf("broken off at write %d: no error", at)
				}
				w.cut.Store(0)
				var result Result
				for range 3 {
					result = w.sync()
				}
				if got := w.color(); got != test.want || test.name != "rollback" && !result.Current {
					t.Errorf("broken off at write %d: color %q, records %v, %+v", at, got, w.records(), result)
				}
				if slices.ContainsFunc(w.records(), func(r string) bool { return strings.Contains(r, "pending") }) {
					t.Errorf("broken off at write %d: records %v", at, w.records())
				}
				if !broken {
					if at < 4 {
						t.Errorf("only %d writes", at)
					}
					return
				}
			}
		})
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t)
	w.target.Options.Limits.Kinds = []string{"ConfigMap"}
	_, err := w.client().Sync(t.Context(), w.target)
	if err == nil || !strings.Contains(err.Error(), "limits allow the kinds ConfigMap, not Service") || len(w.records()) > 0 || w.color() != "" {
		t.Errorf("error %v, records %v, color %q", err, w.records(), w.color())
	}
	w.target.Options.Limits = app.Limits{Namespaces: []string{"other"}}
	if _, err := w.client().Sync(t.Context(), w.target); err == nil || !strings.Contains(err.Error(), "limits allow the namespaces other") {
		t.Errorf("a namespace that is not allowed: %v", err)
	}
}

func TestReview(t *testing.T) {
	w := newWorld(t)
	w.sync()
	w.set(map[string]any{"color": "red", "more": false})
	var asked []Removal
	held := &Held{Digest: "d"}
	w.target.Review = func(r Removal) Review { asked = append(asked, r); return Review{Held: held} }
	result := w.sync()
	w.expect("it waits, and nothing is recorded", result, nil, "1 deployed")
	if result.Held != held || w.color() != "blue" || len(asked) != 1 || len(asked[0].Gone) != 1 || asked[0].Gone[0].GetName() != "web-b" || len(asked[0].Wanted) != 2 || asked[0].Size != 3 {
		t.Errorf("%+v, asked %+v, color %q", result, asked, w.color())
	}
	w.target.Review = func(Removal) Review { return Review{} } // neither held nor deleted: it stays
	result = w.sync()
	w.expect("it goes on", result, []Step{Upgrade}, "1 superseded", "2 deployed")
	if _, err := w.kube.CoreV1().ConfigMaps(w.namespace).Get(t.Context(), "web-b", metav1.GetOptions{}); err != nil || result.Changes.Count(change.Orphaned) != 1 {
		t.Errorf("what was not agreed to is deleted: %v\n%s", err, result.Changes)
	}
}

// Neither an API server's answer nor Helm's words about it repeat a value of a Secret.
func TestSecretsAreNotRepeated(t *testing.T) {
	w := newWorld(t)
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: kubernetes.io/dockerconfigjson\ndata: {.dockerconfigjson: \"{{ .Values.p }}\"}\n"
	w.target.Release.Chart.Files = append(w.target.Release.Chart.Files, app.ChartFile{Name: "templates/secret.yaml", Data: []byte(secret)})
	for _, value := range []string{"hunter2!", "aHVudGVyMg=="} {
		w.set(map[string]any{"p": value})
		result, err := w.client().Sync(t.Context(), w.target)
		text := fmt.Sprint(result.Failed, err)
		if result.Current || !strings.Contains(text, "the Secret is refused") || strings.Contains(text, "hunter2") || strings.Contains(text, value) {
			t.Errorf("%s: %s", value, text)
		}
	}
}

func TestWhatOthersHave(t *testing.T) {
	w := newWorld(t)
	mine := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "web-a"}, Data: map[string]string{"color": "mine"}}
	if _, err := w.kube.CoreV1().ConfigMaps(w.namespace).Create(t.Context(), mine, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client().Sync(t.Context(), w.target); err == nil || w.color() != "mine" || len(w.records()) > 0 {
		t.Errorf("what exists is taken over unasked: %v, %q", err, w.color())
	}
	w.target.Release.Install.Adopt = true
	other := newWorld(t)
	other.namespace, other.target.Release.Namespace = w.namespace, w.namespace
	if result := w.sync(); !result.Current || w.color() != "blue" {
		t.Errorf("%+v, color %q", result, w.color())
	}
	second := w.target
	release := *w.target.Release
	release.Name, release.Chart = "other", app.Chart{Files: slices.Clone(release.Chart.Files)}
	for i, file := range release.Chart.Files {
		release.Chart.Files[i].Data = []byte(strings.ReplaceAll(string(file.Data), "{{ .Release.Name }}", "web"))
	}
	second.Release = &release
	if _, err := w.client().Sync(t.Context(), second); err == nil || !strings.Contains(err.Error(), "belongs to the release "+w.namespace+"/web of Helm") {
		t.Errorf("what another release has is taken over: %v", err)
	}
}

func TestValuesFrom(t *testing.T) {
	w := newWorld(t)
	w.target.Release.ValuesFrom = []app.ValuesFrom{
		{Kind: "ConfigMap", Namespace: w.namespace, Name: "v"},
		{Kind: "Secret", Namespace: w.namespace, Name: "s", Key: "c", Target: "color", Optional: true},
	}
	if _, err := w.client().Sync(t.Context(), w.target); err == nil || !strings.Contains(err.Error(), `reading values from the ConfigMap`) {
		t.Errorf("values that are not there: %v", err)
	}
	v := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "v"}, Data: map[string]string{"values.yaml": "color: red\n"}}
	if _, err := w.kube.CoreV1().ConfigMaps(w.namespace).Create(t.Context(), v, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if w.sync(); w.color() != "red" {
		t.Errorf("color %q", w.color())
	}
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, StringData: map[string]string{"c": "green"}}
	if _, err := w.kube.CoreV1().Secrets(w.namespace).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if w.sync(); w.color() != "green" {
		t.Errorf("color %q, want that of the Secret, which comes later", w.color())
	}
	check := func(outdated bool) {
		t.Helper()
		if c, err := w.client().Check(t.Context(), w.target, nil); err != nil || c.Outdated != outdated {
			t.Errorf("outdated: %t, %v, want %t", c.Outdated, err, outdated)
		}
	}
	check(false)
	if _, err := w.kube.CoreV1().Secrets(w.namespace).Patch(t.Context(), "s", types.MergePatchType, []byte(`{"stringData":{"c":"white"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	check(true)
	if w.sync(); w.color() != "white" {
		t.Errorf("color %q, want the new one of the Secret", w.color())
	}
	w.set(map[string]any{"color": "black"})
	if w.sync(); w.color() != "black" {
		t.Errorf("color %q, want the stated one", w.color())
	}
}
