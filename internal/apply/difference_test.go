package apply

import (
	"fmt"
	"strings"
	"testing"

	"nave.dev/internal/app"
	"nave.dev/internal/change"
)

const service = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: NS, annotations: {note: git}}
spec:
  selector: {app: web}
  ports:
  - {name: a, port: 80, targetPort: 1}
  - {name: b, port: 81, targetPort: 2}
`

// ways to say that the targetPort of port "b" and the annotation are others'.
var ways = map[string]app.Difference{
	"pointers":    {Kind: "Service", Pointers: []string{"/metadata/annotations/note", "/spec/ports/1/targetPort"}},
	"expressions": {Group: "*", Kind: "*", Name: "w*", JQ: []string{`.spec.ports[] | select(.name == "b") | .targetPort`, ".metadata.annotations.note"}},
	"managers":    {Kind: "Service", Managers: []string{"kubectl-edit"}},
}

// changeIgnored changes what the ways ignore, as a person does.
func (g *ground) changeIgnored() {
	g.Helper()
	u := g.live("Service", "web")
	u.SetAnnotations(merge(u.GetAnnotations(), "note", "theirs"))
	ports := u.Object["spec"].(map[string]any)["ports"].([]any)
	ports[1].(map[string]any)["targetPort"] = int64(9)
	g.update("kubectl-edit", u)
}

func merge(in map[string]string, key, value string) map[string]string {
	in[key] = value
	return in
}

func TestDifferencesThatDoNotCount(t *testing.T) {
	for name, difference := range ways {
		for _, leave := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " left", false: ""}[leave], func(t *testing.T) {
				g := on(t)
				target := g.target("web", service)
				target.Options.Differences = []app.Difference{difference}
				target.Options.LeaveDifferences = leave
				first := g.sync(target)
				g.wantField(`"git"`, "it is there from the creation on", "Service", "web", "metadata", "annotations", "note")
				g.changeIgnored()
				g.requests.take()
				g.want("unchanged Service web", "it is no drift", g.repair(g.knowing(target, first)).Changes)
				g.want("unchanged Service web", "nor to one who knows nothing", g.sync(target).Changes)
				g.want("unchanged Service web", "nor shown", g.diff(target))
				if _, writes := g.requests.take(); len(writes) > 0 {
					t.Errorf("written: %q", writes)
				}

				g.patch("kubectl-edit", "Service", "web", `{"spec":{"selector":{"app":"other"}}}`)
				if name != "managers" {
					result := g.repair(target)
					g.want("corrected Service web", "the rest is drift", result.Changes)
					for _, field := range entryOf(result.Changes, "Service", "web").Fields {
						if strings.Contains(field.Path, "targetPort") || strings.Contains(field.Path, "note") {
							t.Errorf("shown: %s", field)
						}
					}
				}
				want := map[bool]string{false: `"git"`, true: `"theirs"`}[leave]
				g.sync(g.with(target, strings.ReplaceAll(service, "name: a, port: 80", "name: a, port: 82")))
				g.wantField(want, "with what else changes", "Service", "web", "metadata", "annotations", "note")
				g.wantField(map[bool]string{false: "2", true: "9"}[leave], "with what else changes", "Service", "web", "spec", "ports", 1, "targetPort")
				g.wantField("82", "which is brought about", "Service", "web", "spec", "ports", 0, "port")
			})
		}
	}
}

// A change of Git's in nothing but what is ignored is none, whoever looks.
func TestGitChangesOnlyWhatIsIgnored(t *testing.T) {
	g := on(t)
	target := g.target("web", service)
	target.Options.Differences = []app.Difference{{Kind: "Service", Pointers: []string{"/metadata/annotations/note"}}}
	first := g.sync(target)
	next := g.with(target, strings.ReplaceAll(service, "note: git", "note: new"))
	g.requests.take()
	g.want("unchanged Service web", "it has baselines", g.sync(g.knowing(next, first)).Changes)
	g.want("unchanged Service web", "it has none", g.sync(next).Changes)
	if _, writes := g.requests.take(); len(writes) > 0 {
		t.Errorf("written: %q", writes)
	}
	next.Options.Differences = nil
	g.want("updated Service web", "without the rule it counts", g.sync(g.knowing(next, first)).Changes)
	g.wantField(`"new"`, "it counts", "Service", "web", "metadata", "annotations", "note")
}

// What is left to others from some time on keeps its value.
func TestDifferencesThatAreLeftAreHandedOver(t *testing.T) {
	g := on(t)
	manifest := `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NS}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web:1}]}
`
	target := g.target("web", manifest)
	target.Options.Differences = []app.Difference{{Group: "apps", Kind: "Deployment", Pointers: []string{"/spec/replicas"}}}
	target.Options.LeaveDifferences = true
	g.sync(target)
	g.wantField("3", "it is created as Git says", "Deployment", "web", "spec", "replicas")
	g.sync(g.with(target, strings.ReplaceAll(manifest, "web:1", "web:2")))
	g.wantField("3", "it does not fall back to a default", "Deployment", "web", "spec", "replicas")
	g.patch("somebody", "Deployment", "web", `{"spec":{"replicas":5}}`)
	result := g.sync(g.with(target, strings.ReplaceAll(manifest, "web:1", "web:3")))
	g.wantField("5", "it is somebody's", "Deployment", "web", "spec", "replicas")
	if fields := entryOf(result.Changes, "Deployment", "web").Fields; len(fields) != 1 {
		t.Errorf("shown: %v", fields)
	}
}

func TestDifferencesThatCannotBeRead(t *testing.T) {
	g := on(t)
	for want, difference := range map[string]app.Difference{
		"no JSON pointer":      {Kind: "*", Pointers: []string{"spec/replicas"}},
		"range is not allowed": {Kind: "*", JQ: []string{"range(9)"}},
	} {
		target := g.target("web", service)
		target.Options.Differences = []app.Difference{difference}
		if _, err := g.client.Sync(t.Context(), target); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	many := g.target("many", configMaps("many"))
	for i := range 3000 {
		data := many.Bundle.Objects[0].Object
		if data["data"] == nil {
			data["data"] = map[string]any{}
		}
		data["data"].(map[string]any)[fmt.Sprintf("k%d", i)] = "v"
	}
	many.Options.Differences = []app.Difference{{Kind: "ConfigMap", JQ: []string{".data[]"}}}
	if entry := entryOf(g.sync(many).Changes, "ConfigMap", "many"); entry.Action != change.Failed || !strings.Contains(entry.Reason, "jq expression") {
		t.Errorf("%s: %s", entry.Action, entry.Reason)
	}
}
