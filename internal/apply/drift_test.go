package apply

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/app"
	"nave.dev/internal/change"
)

func TestRule1OwnedFieldTakenIsCorrected(t *testing.T) {
	g := on(t)
	target := g.target("web", web)
	target.Known = g.sync(target).Baselines
	g.patch("kubectl-edit", "Deployment", "web", `{"spec":{"template":{"spec":{"containers":[
		{"name":"web","image":"example.org/evil:1","env":[{"name":"LEVEL","value":"debug"}],"ports":[{"containerPort":8080}]}]}}}}`)
	result := g.repair(target)
	g.want("corrected Deployment web; unchanged ConfigMap settings; unchanged Service web", "one object was edited", result.Changes)
	g.wantField(`"example.org/web:1"`, "the image is Git's", "Deployment", "web", "spec", "template", "spec", "containers", 0, "image")
	entry := entryOf(result.Changes, "Deployment", "web")
	if !strings.Contains(entry.Reason, "kubectl-edit at 20") {
		t.Errorf("reason %q does not say who and when", entry.Reason)
	}
	image := fieldOf(entry, "spec.template.spec.containers[name=web].image")
	if image.From != "example.org/evil:1" || image.To != "example.org/web:1" || image.Manager != "kubectl-edit" {
		t.Errorf("field %+v", image)
	}
	level := fieldOf(entry, "spec.template.spec.containers[name=web].env[name=LEVEL].value")
	if level.From != "debug" || level.To != "info" {
		t.Errorf("field %+v", level)
	}
	again := g.repair(g.knowing(target, result))
	if n := again.Changes.Count(change.Unchanged); n != 3 {
		t.Errorf("after the repair:\n%s", again.Changes)
	}
}

// fieldOf returns one difference of an entry.
func fieldOf(entry change.Entry, path string) change.Field {
	for _, field := range entry.Fields {
		if field.Path == path {
			return field
		}
	}
	return change.Field{}
}

// knowing returns the target with the baselines of a result.
func (g *ground) knowing(t Target, result Result) Target {
	t.Known = result.Baselines
	return t
}

func TestRule1OwnedFieldDeletedIsCorrected(t *testing.T) {
	g := on(t)
	target := g.target("web", web)
	g.sync(target)
	_, err := g.at("ConfigMap").Patch(g.Context(), "settings", types.JSONPatchType,
		[]byte(`[{"op":"remove","path":"/data/mode"}]`), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	if err != nil {
		t.Fatal(err)
	}
	result := g.repair(target)
	g.want("corrected ConfigMap settings; unchanged Deployment web; unchanged Service web", "a key was removed", result.Changes)
	g.wantField(`"fast"`, "the key is back", "ConfigMap", "settings", "data", "mode")
}

func TestRule1DeletedObjectIsMadeAgain(t *testing.T) {
	g := on(t)
	target := g.target("web", web)
	target.Known = g.sync(target).Baselines
	g.delete("Service", "web")
	result := g.repair(target)
	g.want("corrected Service web; unchanged ConfigMap settings; unchanged Deployment web", "the service was deleted", result.Changes)
	if g.live("Service", "web") == nil {
		t.Error("the service is not back")
	}
	if result.Baselines[entryOf(result.Changes, "Service", "web").Object].Adopted {
		t.Error("an object that was made again counts as adopted")
	}
}

func TestRule1AddedFieldsOfPeopleAreRemoved(t *testing.T) {
	for _, test := range []struct {
		name, manager, kind, patch, path string
		removed                          bool
		reason                           string
	}{
		{"sidecar", "kubectl-patch", "Deployment", `{"spec":{"template":{"spec":{"containers":[
			{"name":"web","image":"example.org/web:1","env":[{"name":"LEVEL","value":"info"}],"ports":[{"containerPort":8080}],"resources":{"limits":{"cpu":"1","memory":"64Mi"}}},
			{"name":"spy","image":"example.org/spy:1"}]}}}}`,
			"spec.template.spec.containers[name=spy]", true, "an added container is drift"},
		{"label", "kubectl-label", "Service", `{"metadata":{"labels":{"team":"x"}}}`, "metadata.labels.team", true, "an added label is drift"},
		{"data", "kubectl-edit", "ConfigMap", `{"data":{"extra":"1"}}`, "data.extra", true, "an added key is drift"},
		{"selector", "helm", "Service", `{"spec":{"selector":{"tier":"x"}}}`, "spec.selector.tier", true, "a former deployer's field is drift"},
		{"annotation", "some-controller", "Service", `{"metadata":{"annotations":{"cloud/ip":"1"}}}`, "", false, "a controller's field is its own"},
		{"restart", "kubectl-rollout", "Deployment", `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"now"}}}}}`, "", false, "a restart is never drift"},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := on(t)
			target := g.target("web", web)
			target.Known = g.sync(target).Baselines
			name := map[string]string{"ConfigMap": "settings"}[test.kind]
			if name == "" {
				name = "web"
			}
			g.patch(test.manager, test.kind, name, test.patch)
			before := g.live(test.kind, name)
			g.requests.take()
			result := g.repair(target)
			_, writes := g.requests.take()
			if !test.removed {
				g.want("unchanged ConfigMap settings; unchanged Deployment web; unchanged Service web", test.reason, result.Changes)
				if len(writes) > 0 || g.live(test.kind, name).GetResourceVersion() != before.GetResourceVersion() {
					t.Errorf("%s, but %q was written", test.reason, writes)
				}
				return
			}
			entry := entryOf(result.Changes, test.kind, name)
			if entry.Action != change.Corrected || len(entry.Fields) != 1 {
				t.Fatalf("%s:\n%s", test.reason, result.Changes)
			}
			field := entry.Fields[0]
			if field.Path != test.path || field.To != nil || field.Manager != test.manager {
				t.Errorf("%s: field %+v, want %s to go", test.reason, field, test.path)
			}
			again := g.repair(g.knowing(target, result))
			if again.Changes.Count(change.Unchanged) != 3 {
				t.Errorf("after the repair:\n%s", again.Changes)
			}
		})
	}
}

// As Flux's ssa: Merge has it: what others put beside the fields of Git stays, and these
// are as Git has them.
func TestMergeLeavesWhatIsAdded(t *testing.T) {
	g := on(t)
	target := g.target("web", "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: NS, annotations: {kustomize.toolkit.fluxcd.io/ssa: Merge}}, data: {mode: fast}}")
	target.Known = g.sync(target).Baselines
	g.patch("kubectl-edit", "ConfigMap", "settings", `{"data":{"mode":"slow","extra":"1"}}`)
	result := g.repair(target)
	entry := entryOf(result.Changes, "ConfigMap", "settings")
	if entry.Action != change.Corrected || len(entry.Fields) != 1 || entry.Fields[0].Path != "data.mode" {
		t.Errorf("what Git states is not corrected alone:\n%s", result.Changes)
	}
	data, _ := g.live("ConfigMap", "settings").Object["data"].(map[string]any)
	if data["extra"] != "1" || data["mode"] != "fast" {
		t.Errorf("it has %v", data)
	}
	if again := g.repair(g.knowing(target, result)); again.Changes.Count(change.Unchanged) != 1 {
		t.Errorf("after the repair:\n%s", again.Changes)
	}
}

func TestRule1DriftIsOnlyReportedWhereCorrectionIsOff(t *testing.T) {
	g := on(t)
	target := g.target("web", web)
	target.Options.CorrectDrift = false
	target.Known = g.sync(target).Baselines
	g.patch("kubectl-edit", "ConfigMap", "settings", `{"data":{"mode":"slow","extra":"1"}}`)
	g.delete("Service", "web")
	g.requests.take()
	result := g.repair(target)
	g.want("drifted ConfigMap settings; drifted Service web; unchanged Deployment web", "two objects drifted", result.Changes)
	entry := entryOf(result.Changes, "ConfigMap", "settings")
	if fieldOf(entry, "data.mode").To != "fast" || fieldOf(entry, "data.extra").From != "1" || fieldOf(entry, "data.extra").To != nil {
		t.Errorf("fields %v", entry.Fields)
	}
	if _, writes := g.requests.take(); len(writes) > 0 {
		t.Errorf("wrote %q", writes)
	}
	g.wantField(`"slow"`, "nothing was corrected", "ConfigMap", "settings", "data", "mode")

	// A restart without baselines must not correct it either.
	g.client, target.Known = g.another(), nil
	synced := g.sync(g.with(target, web))
	if got := entryOf(synced.Changes, "ConfigMap", "settings").Action; got != change.Drifted {
		t.Errorf("a sync without baselines says %s", got)
	}
	g.wantField(`"slow"`, "a restart corrects nothing", "ConfigMap", "settings", "data", "mode")
}

func TestRule1RepairBringsBackMarksThatWereRemoved(t *testing.T) {
	g := on(t)
	target := g.target("web", web)
	target.Known = g.sync(target).Baselines
	g.patch("kubectl-edit", "ConfigMap", "settings", `{"metadata":{"labels":null,"annotations":null}}`)
	result := g.repair(target)
	g.want("corrected ConfigMap settings; unchanged Deployment web; unchanged Service web", "marks were removed", result.Changes)
	if b := result.Baselines[entryOf(result.Changes, "ConfigMap", "settings").Object]; b.Adopted {
		t.Error("the object is known by its UID, and yet it counts as adopted")
	}
}

func TestRule1IgnoredFieldsAreLeftAlone(t *testing.T) {
	g := on(t)
	target := g.target("web", web)
	g.sync(target)
	target.Options.IgnoreFields = []app.FieldRule{
		{Kind: "Deployment", Paths: []string{"spec.template.spec.containers[*].image", "spec.replicas"}},
		{Kind: "*", Paths: []string{`metadata.annotations["example.org/note"]`}},
	}
	result := g.sync(target)
	g.wantField("2", "a field that is given up keeps its value", "Deployment", "web", "spec", "replicas")
	g.wantField(`"example.org/web:1"`, "a field that is given up keeps its value", "Deployment", "web", "spec", "template", "spec", "containers", 0, "image")
	g.patch("kubectl-edit", "Deployment", "web", `{"metadata":{"annotations":{"example.org/note":"x"}},"spec":{"replicas":7}}`)
	_, err := g.at("Deployment").Patch(g.Context(), "web", types.StrategicMergePatchType,
		[]byte(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"example.org/web:9"}]}}}}`), metav1.PatchOptions{FieldManager: "kubectl-set"})
	if err != nil {
		t.Fatal(err)
	}
	g.requests.take()
	repaired := g.repair(g.knowing(target, result))
	g.want("unchanged ConfigMap settings; unchanged Deployment web; unchanged Service web", "only ignored fields changed", repaired.Changes)
	g.wantField("7", "an ignored field is left", "Deployment", "web", "spec", "replicas")
	g.wantField(`"example.org/web:9"`, "an ignored field is left", "Deployment", "web", "spec", "template", "spec", "containers", 0, "image")
	g.sync(g.with(target, strings.ReplaceAll(web, "info", "debug")))
	g.wantField(`"example.org/web:9"`, "an apply leaves it too", "Deployment", "web", "spec", "template", "spec", "containers", 0, "image")
	g.wantField("7", "an apply leaves it too", "Deployment", "web", "spec", "replicas")
	g.wantField(`"debug"`, "the rest is applied", "Deployment", "web", "spec", "template", "spec", "containers", 0, "env", 0, "value")
}

func TestRule1FieldDroppedFromGitGoesThoughAPersonHoldsItToo(t *testing.T) {
	g := on(t)
	target := g.target("web", web)
	target.Known = g.sync(target).Baselines
	// kubectl apply --server-side of the same manifest makes a second owner.
	_, err := g.at("ConfigMap").Patch(g.Context(), "settings", types.ApplyPatchType,
		[]byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings"},"data":{"mode":"fast"}}`), metav1.PatchOptions{FieldManager: "kubectl"})
	if err != nil {
		t.Fatal(err)
	}
	g.sync(g.with(target, strings.Replace(web, "data: {mode: fast}", "data: {other: x}", 1)))
	g.wantField(`{"other":"x"}`, "Git dropped the key", "ConfigMap", "settings", "data")
}

func TestRule1SecretValuesAreNeverShown(t *testing.T) {
	g := on(t)
	const secret = `
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: NS}
stringData: {password: hunter2-very-secret}
`
	target := g.target("web", secret)
	result := g.sync(target)
	g.wantField(`"aHVudGVyMi12ZXJ5LXNlY3JldA=="`, "the value is applied", "Secret", "key", "data", "password")
	g.patch("kubectl-edit", "Secret", "key", `{"data":{"password":"b3RoZXItc2VjcmV0","more":"bW9yZS1zZWNyZXQ="}}`)
	result = g.repair(g.knowing(target, result))
	entry := entryOf(result.Changes, "Secret", "key")
	if entry.Action != change.Corrected || len(entry.Fields) != 2 {
		t.Fatalf("fields %v", entry.Fields)
	}
	shown := result.Changes.String()
	for _, secret := range []string{"hunter2", "aHVudGVy", "b3RoZXI", "bW9yZS1z"} {
		if strings.Contains(shown, secret) {
			t.Errorf("a secret value is shown:\n%s", shown)
		}
	}
	// The server quotes what it refuses.
	bad := strings.Replace(secret, "stringData: {password: hunter2-very-secret}", "data: {pin: 987654321}", 1)
	var told []string
	g.client.options.Listener.Wrote = func(_ Write, err error) { told = append(told, fmt.Sprint(err)) }
	refused := g.sync(g.with(target, bad))
	entry = entryOf(refused.Changes, "Secret", "key")
	told = append(told, entry.Reason)
	if entry.Action != change.Failed || strings.Contains(strings.Join(told, "\n"), "987654321") {
		t.Errorf("%s: %q", entry.Action, told)
	}
}

func TestRule1ReportOnlySyncAppliesGitAndLeavesDrift(t *testing.T) {
	g := on(t)
	target := g.target("web", web)
	target.Options.CorrectDrift = false
	g.sync(target)
	g.patch("kubectl-edit", "ConfigMap", "settings", `{"data":{"extra":"1"}}`)
	g.want("drifted ConfigMap settings; unchanged Deployment web; unchanged Service web", "an addition is reported", g.sync(target).Changes)
	result := g.sync(g.with(target, strings.Replace(web, "mode: fast", "mode: slow", 1)))
	g.want("unchanged Deployment web; unchanged Service web; updated ConfigMap settings", "Git changed", result.Changes)
	g.wantField(`{"extra":"1","mode":"slow"}`, "Git's change is applied and the addition stays", "ConfigMap", "settings", "data")
}

func TestRule1ReportOnlyRepairAdoptsNothing(t *testing.T) {
	g := on(t)
	target := g.target("web", configMaps("a"))
	target.Options.CorrectDrift = false
	g.sync(target)
	g.patch("kubectl-edit", "ConfigMap", "a", `{"metadata":{"labels":null}}`)
	g.requests.take()
	g.want("drifted ConfigMap a", "marks were removed, and no baseline is known", g.repair(target).Changes)
	if _, writes := g.requests.take(); len(writes) > 0 {
		t.Errorf("wrote %q", writes)
	}
}
