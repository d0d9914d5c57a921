package releases

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"nave.dev/internal/app"
	"nave.dev/internal/apply"
	"nave.dev/internal/change"
	"nave.dev/internal/render"
	"nave.dev/internal/testenv"
)

// releaseOf is an app that is a release of a chart of one template.
func releaseOf(t *testing.T, namespace, name, template string, values map[string]any) apply.Target {
	t.Helper()
	quick := app.ReleaseAction{NoWait: true}
	bundle, err := app.NewReleaseBundle(&app.Release{
		Name: name, Namespace: namespace, Values: values, Install: quick, Upgrade: quick,
		Chart: app.Chart{Files: []app.ChartFile{
			{Name: "Chart.yaml", Data: []byte("{apiVersion: v2, name: c, version: 1.0.0}")},
			{Name: "values.schema.json", Data: []byte(`{"properties": {"color": {"type": "string"}}}`)},
			{Name: "templates/a.yaml", Data: []byte(template)},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return apply.Target{App: name, Bundle: bundle}
}

// applier is one whose releases are rendered by the workers of a pool of two.
func applier(t *testing.T, env *testenv.Env, options render.Options) *Applier {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	options.WorkerCommand, options.Workers = []string{self, "render-worker"}, 2
	renderer := render.New(options)
	t.Cleanup(renderer.Close)
	a, err := New(env.Config, &Memory{}, renderer, apply.Options{Fleet: "f"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// failed reports whether something of an app was not done.
func failed(result apply.Result) bool {
	return len(result.Changes) == 0 || slices.ContainsFunc(result.Changes, func(e change.Entry) bool { return e.Action == change.Failed })
}

const shows = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}'}\ndata: {color: '{{ .Values.color }}'}\n"

// endless are templates that do not end, or not by themselves.
const endless = `{{ define "twice" }}{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}{{ end }}{{ range until 100000 }}{{ template "twice" }}{{ end }}`

// A release whose templates do not end is stopped, while others go on.
func TestEndlessTemplatesAreStopped(t *testing.T) {
	env := testenv.New(t)
	namespace := env.Namespace(t)
	a := applier(t, env, render.Options{Deadline: 20 * time.Second})
	stopped := make(chan error, 1)
	go func() {
		_, err := a.Sync(t.Context(), releaseOf(t, namespace, "loop", endless, nil), nil)
		stopped <- err
	}()
	other, err := a.Sync(t.Context(), releaseOf(t, namespace, "web", shows, map[string]any{"color": "blue"}), nil)
	if err != nil || failed(other) {
		t.Errorf("the other release: %v, %+v", err, other)
	}
	select {
	case err := <-stopped:
		t.Errorf("the endless one ended before the other: %v", err)
	default:
	}
	if err := <-stopped; err == nil || !strings.Contains(err.Error(), "took longer than 20s and was stopped") {
		t.Errorf("the endless one came to %v", err)
	}
	client, err := kubernetes.NewForConfig(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	records, err := client.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "owner=helm,name=loop"})
	if err != nil {
		t.Fatal(err)
	}
	if len(records.Items) > 0 {
		t.Errorf("the endless one has left %d records", len(records.Items))
	}
}

// A release whose templates explode is stopped.
func TestLargeTemplatesAreStopped(t *testing.T) {
	env := testenv.New(t)
	a := applier(t, env, render.Options{MaxMemory: 128 << 20})
	const explodes = `{{ $x := "xxxxxxxx" }}{{ range until 60 }}{{ $x = printf "%s%s" $x $x }}{{ end }}{{ $x }}`
	_, err := a.Sync(t.Context(), releaseOf(t, env.Namespace(t), "large", explodes, nil), nil)
	if err == nil || !strings.Contains(err.Error(), "memory") && !strings.Contains(err.Error(), "died") {
		t.Errorf("it came to %v", err)
	}
}

// Templates in a worker are told of the cluster what Helm tells them.
func TestLookupFromAWorker(t *testing.T) {
	env := testenv.New(t)
	namespace := env.Namespace(t)
	client, err := kubernetes.NewForConfig(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	a := applier(t, env, render.Options{})
	const once = `{{ $there := lookup "v1" "Secret" .Release.Namespace "password" }}
apiVersion: v1
kind: Secret
metadata: {name: password, annotations: {color: '{{ .Values.color }}', all: '{{ len (lookup "v1" "Secret" .Release.Namespace "").items }}'}}
data: {password: {{ if $there }}{{ $there.data.password }}{{ else }}{{ randAlphaNum 20 | b64enc }}{{ end }}}
`
	var passwords []string
	for _, color := range []string{"red", "green"} {
		result, err := a.Sync(t.Context(), releaseOf(t, namespace, "web", once, map[string]any{"color": color}), nil)
		if err != nil || failed(result) {
			t.Fatalf("%s: %v, %+v", color, err, result)
		}
		u, err := client.CoreV1().Secrets(namespace).Get(t.Context(), "password", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if u.Annotations["color"] != color {
			t.Errorf("%s is not applied: %v", color, u.Annotations)
		}
		passwords = append(passwords, string(u.Data["password"]))
	}
	if len(passwords[0]) != 20 || passwords[0] != passwords[1] {
		t.Error("an upgrade has made another password")
	}
	// What may not be read fails the step, as the service account that is named.
	refused := releaseOf(t, namespace, "other", once, map[string]any{"color": "red"})
	refused.Options.ServiceAccount = namespace + "/default"
	if _, err := a.Sync(t.Context(), refused, nil); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("a lookup that is forbidden came to %v", err)
	}
	// And so do values that the chart's schema refuses.
	if _, err := a.Sync(t.Context(), releaseOf(t, namespace, "third", shows, map[string]any{"color": 1}), nil); err == nil || !strings.Contains(err.Error(), "color") {
		t.Errorf("values that are refused came to %v", err)
	}
}
