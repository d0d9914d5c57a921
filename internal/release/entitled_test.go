package release

import (
	"context"
	"errors"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// TestNothingIsWrittenWithoutRights has a release asked for its rights before it is
// installed, and before an upgrade: as long as some are missing the error is told as it
// is, nothing is written or recorded, and no attempt is counted.
func TestNothingIsWrittenWithoutRights(t *testing.T) {
	w := newWorld(t)
	hook := func(name, events string) app.ChartFile {
		return app.ChartFile{Name: "templates/" + name + ".yaml", Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", annotations: {helm.sh/hook: '" + events + "'}}\n")}
	}
	w.target.Release.Chart.Files = append(w.target.Release.Chart.Files, hook("hook", "pre-install,pre-upgrade"), hook("test", "test"))
	id := func(kind, name string) object.ID { return object.ID{Kind: kind, Namespace: w.namespace, Name: name} }
	wantObjects := []object.ID{id("ConfigMap", "web-a"), id("ConfigMap", "web-b"), id("Service", "web")}
	wantHooks := []object.ID{id("ConfigMap", "hook")}

	missing, refuse := errors.New("rights are missing"), true
	w.target.Entitled = func(_ context.Context, objects, hooks []object.ID) error {
		slices.SortFunc(objects, object.Compare)
		if !slices.Equal(objects, wantObjects) || !slices.Equal(hooks, wantHooks) {
			t.Errorf("asked for %v and %v", objects, hooks)
		}
		if refuse {
			return missing
		}
		return nil
	}
	client := w.client()
	refused := func() {
		t.Helper()
		before := w.writes.Load()
		result, err := client.Sync(t.Context(), w.target)
		if !errors.Is(err, missing) || result.Failures > 0 || len(result.Steps) > 0 {
			t.Errorf("it came to %v, %+v", err, result)
		}
		if after := w.writes.Load(); after != before {
			t.Errorf("%d writes", after-before)
		}
	}
	refused()
	refused()
	records, err := w.kube.CoreV1().Secrets(w.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: RecordLabels})
	if err != nil || len(records.Items) > 0 {
		t.Errorf("%d records, %v", len(records.Items), err)
	}

	refuse = false
	if result, err := client.Sync(t.Context(), w.target); err != nil || !result.Current {
		t.Fatalf("it came to %v, %+v", err, result)
	}
	refuse = true
	w.set(map[string]any{"color": "red"})
	refused()
	if color := w.color(); color != "blue" {
		t.Errorf("it shows %s", color)
	}
	if _, due, err := client.Preview(t.Context(), w.target); !due || err != nil {
		t.Errorf("a preview came to %v, %v", due, err)
	}

	// Tests that run need rights as well.
	refuse, wantHooks = false, append(wantHooks, id("ConfigMap", "test"))
	w.target.Release.Tests.Run = true
	if result, err := client.Sync(t.Context(), w.target); err != nil || len(result.Steps) == 0 {
		t.Errorf("it came to %v, %+v", err, result)
	}
	if color := w.color(); color != "red" {
		t.Errorf("it shows %s", color)
	}
}
