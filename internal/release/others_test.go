package release

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"nave.dev/internal/app"
)

// What an app never brought about, or another one has by now, is not uninstalled with it.
func TestRemoveLeavesWhatOthersHave(t *testing.T) {
	w := newWorld(t)
	remove := func(app string) Result {
		t.Helper()
		target := w.target
		target.App = app
		result, err := w.client().Remove(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	w.sync()
	if got := remove("never"); !got.Left || w.color() != "blue" {
		t.Errorf("an app that did not install it removed it: %+v", got)
	}
	w.target.App = "renamed"
	w.sync()
	if got := remove("web"); !got.Left || got.Present || w.color() != "blue" {
		t.Errorf("the app that had it before removed it: %+v", got)
	}
	w.set(map[string]any{"port": "no port"})
	w.target.Release.Upgrade.Remediation = app.Remediation{Last: true}
	w.sync()
	if got := remove("renamed"); got.Left || got.Present || w.color() != "" {
		t.Errorf("the app that has it, by a rollback to another's revision, did not remove it: %+v", got)
	}
}

// A release that is brought about as a service account has, outside of the account's
// namespace, no records and no values that the account itself may not have.
func TestRightsOfTheAccount(t *testing.T) {
	w, tenant := newWorld(t), newWorld(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, StringData: map[string]string{"values.yaml": "color: red"}}
	if _, err := w.kube.CoreV1().Secrets(w.namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.sync()
	stolen := tenant.target
	stolen.Options.ServiceAccount = tenant.namespace + "/deployer"
	for _, test := range []struct {
		reason string
		change func(*app.Release)
	}{
		{"records", func(r *app.Release) { r.Storage = w.namespace }},
		{"values", func(r *app.Release) {
			r.ValuesFrom = []app.ValuesFrom{{Kind: "Secret", Namespace: w.namespace, Name: "s"}}
		}},
	} {
		release := *tenant.target.Release
		stolen.Release = &release
		test.change(&release)
		if _, err := tenant.client().Sync(t.Context(), stolen); !apierrors.IsForbidden(err) {
			t.Errorf("%s of another namespace: %v, want that it is forbidden", test.reason, err)
		}
		w.expect("the other release is as it was", w.sync(), nil, "1 deployed")
	}
	// In its own namespace the account need have no right to read Secrets: what follows is about objects.
	stolen.Release = tenant.target.Release
	if _, err := tenant.client().Sync(t.Context(), stolen); err == nil || strings.Contains(err.Error(), "reading the records") {
		t.Errorf("in its own namespace: %v", err)
	}
}
