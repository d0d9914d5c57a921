package apply

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

const password = `
apiVersion: v1
kind: Secret
metadata: {name: password, namespace: NS, labels: {made: once}}
stringData: {password: first}
`

// once is a target whose Secrets are only to be created.
func (g *ground) once(manifests string) Target {
	target := g.target("web", manifests)
	target.Options.CreateOnly = app.ObjectRules{{Kind: "Secret"}}
	return target
}

// again is a target as a caller has it after a sync, with other manifests.
func (g *ground) again(t Target, r Result, manifests string) Target {
	g.Helper()
	next := g.with(t, manifests)
	next.Known = r.Baselines
	return next
}

func TestCreateOnlyIsWrittenOnce(t *testing.T) {
	g := on(t)
	target := g.once(configMaps("a") + password)
	result := g.sync(target)
	g.want("created ConfigMap a; created Secret password", "nothing was there", result.Changes)
	version := g.live("Secret", "password").GetResourceVersion()
	unchanged := func(reason string) {
		t.Helper()
		if got := g.live("Secret", "password"); got == nil || got.GetResourceVersion() != version {
			t.Fatalf("%s: the object was written", reason)
		}
	}

	// Another random value, with baselines, without, and in a diff.
	other := g.again(target, result, configMaps("a")+strings.Replace(password, "first", "second", 1))
	g.requests.take()
	g.want("unchanged ConfigMap a; unchanged Secret password", "Git has another value", g.sync(other).Changes)
	unchanged("another value")
	if asked, _ := g.requests.take(); strings.Contains(strings.Join(asked, " "), "/secrets/password") {
		t.Errorf("another value is no change, and yet the object was read: %q", asked)
	}
	other.Known = nil
	g.want("unchanged ConfigMap a; unchanged Secret password", "nothing is known", g.sync(other).Changes)
	unchanged("another value and no baselines")
	recovered, err := g.client.Recover(t.Context(), []Target{other})
	if err != nil || len(recovered[0]) != 2 {
		t.Errorf("recovered %v, %v", recovered, err)
	}
	if entry := entryOf(g.diff(other), "Secret", "password"); entry.Action == change.Updated {
		t.Errorf("the diff says %s", entry.Action)
	}

	// What others make of it stays.
	g.patch("kubectl-edit", "Secret", "password", `{"data":{"password":"bWluZQ==","more":"bWluZQ=="},"metadata":{"labels":{"made":"mine"}}}`)
	version = g.live("Secret", "password").GetResourceVersion()
	g.want("unchanged ConfigMap a; unchanged Secret password", "it was edited", g.repair(other).Changes)
	unchanged("a repair")
	g.want("unchanged ConfigMap a; unchanged Secret password", "it was edited", g.sync(other).Changes)
	unchanged("a sync")

	// The marks come back, and nothing else changes; where drift is only reported, they do not.
	other.Known = result.Baselines
	g.patch("kubectl-label", "Secret", "password", `{"metadata":{"labels":{"`+object.AppLabel+`":null}}}`)
	version = g.live("Secret", "password").GetResourceVersion()
	reporting := other
	reporting.Options.CorrectDrift = false
	g.want("drifted Secret password; unchanged ConfigMap a", "its label was removed", g.repair(reporting).Changes)
	unchanged("a report")
	g.want("corrected Secret password; unchanged ConfigMap a", "its label was removed", g.repair(other).Changes)
	g.wantField(`"bWluZQ=="`, "the content is not Git's", "Secret", "password", "data", "password")
	g.wantField(`"mine"`, "nor are its labels", "Secret", "password", "metadata", "labels", "made")
	if owner, adopted, ok := object.OwnerOf(g.live("Secret", "password")); !ok || owner.App != "web" || adopted {
		t.Errorf("the owner is %v, %t, %t", owner, adopted, ok)
	}

	// Deleted, it is made again, as Git has it then.
	if err := g.at("Secret").Delete(t.Context(), "password", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	g.want("corrected Secret password; unchanged ConfigMap a", "it was deleted", g.repair(other).Changes)
	g.wantField(`"c2Vjb25k"`, "the value of now", "Secret", "password", "data", "password")

	// It goes like any other object when Git has it no more.
	gone := g.again(other, result, configMaps("a"))
	g.want("deleted Secret password; unchanged ConfigMap a", "it left Git", g.sync(gone).Changes)
}

func TestCreateOnlyLeavesWhatExisted(t *testing.T) {
	g := on(t)
	g.create("somebody", strings.Replace(password, "first", "theirs", 1))
	target := g.once(password)
	g.want("adopted Secret password", "it is shown", g.diff(target))
	result := g.sync(target)
	g.want("adopted Secret password", "it existed", result.Changes)
	g.wantField(`"dGhlaXJz"`, "its content is not taken over", "Secret", "password", "data", "password")
	live := g.live("Secret", "password")
	if _, adopted, ok := object.OwnerOf(live); !ok || !adopted {
		t.Errorf("its marks: adopted %t, %t", adopted, ok)
	}
	for _, entry := range live.GetManagedFields() {
		if entry.Manager == object.FieldManager && strings.Contains(string(entry.FieldsV1.GetRawBytes()), "f:data") {
			t.Errorf("Nave owns %s", entry.FieldsV1.GetRawBytes())
		}
	}
	g.want("unchanged Secret password", "and from then on", g.sync(g.again(target, Result{}, password)).Changes)
	// That it existed is not forgotten when its marks go, or when another app takes it over.
	adopted := func(reason string) {
		t.Helper()
		if _, adopted, ok := object.OwnerOf(g.live("Secret", "password")); !ok || !adopted {
			t.Errorf("%s: adopted %t, %t", reason, adopted, ok)
		}
	}
	g.patch("kubectl-edit", "Secret", "password", `{"metadata":{"labels":{"`+object.AppLabel+`":null},"annotations":null}}`)
	g.want("corrected Secret password", "its marks were removed", g.repair(g.again(target, result, password)).Changes)
	adopted("its marks were removed")
	moved := target
	moved.App, moved.Keeps = "shop", func(string, object.ID) bool { return false }
	g.want("adopted Secret password", "the other app is gone", g.sync(moved).Changes)
	adopted("it moved")
	moved.App = target.App
	result = g.sync(moved)
	// Only people have it deleted.
	gone := g.again(target, result, configMaps("a"))
	if held := g.sync(gone).Held; held == nil || g.live("Secret", "password") == nil {
		t.Errorf("what existed before is not held: %v", held)
	}
}

// An object that becomes create-only, or goes over from another app, keeps what Nave applied to it.
func TestCreateOnlyKeepsWhatWasApplied(t *testing.T) {
	g := on(t)
	before := g.target("web", password)
	result := g.sync(before)
	after := g.again(before, result, strings.Replace(password, "first", "second", 1))
	after.Options.CreateOnly = app.ObjectRules{{Kind: "Secret", Name: "password"}}
	version := g.live("Secret", "password").GetResourceVersion()
	result = g.sync(after)
	g.want("unchanged Secret password", "it exists", result.Changes)
	if g.live("Secret", "password").GetResourceVersion() != version {
		t.Error("it was written")
	}

	moved := g.once(strings.Replace(password, "first", "third", 1))
	moved.App = "shop"
	moved.Keeps = func(string, object.ID) bool { return true }
	g.want("conflict Secret password", "the other app keeps it", g.sync(moved).Changes)
	if g.live("Secret", "password").GetResourceVersion() != version {
		t.Error("it was written although another app keeps it")
	}
	moved.Keeps = func(string, object.ID) bool { return false }
	g.want("adopted Secret password", "the other app is gone", g.sync(moved).Changes)
	g.wantField(`"Zmlyc3Q="`, "the value of the app before", "Secret", "password", "data", "password")
	g.wantField(`"once"`, "its labels", "Secret", "password", "metadata", "labels", "made")

	// Git takes over again once the rule goes.
	moved.Options.CreateOnly, moved.Known = nil, nil
	g.want("updated Secret password", "the rule is gone", g.sync(moved).Changes)
	g.wantField(`"dGhpcmQ="`, "Git's value", "Secret", "password", "data", "password")
}

// Somebody makes the object between the read and the write.
func TestCreateOnlyLosesNoRace(t *testing.T) {
	var g *ground
	raced := false
	g = on(t, func(o *Options) {
		o.Listener.Writing = func(w Write) {
			if w.Verb == "apply" && !raced {
				raced = true
				g.create("somebody", strings.NewReplacer("password: first", "other: theirs", ", labels: {made: once}", "").Replace(password))
			}
		}
	})
	g.want("adopted Secret password", "it existed by then", g.sync(g.once(password)).Changes)
	g.wantField(`{"other":"dGhlaXJz"}`, "nothing was added to it", "Secret", "password", "data")
}

// Somebody changes or deletes an object of the app before between the read and the write of the marks.
func TestCreateOnlyMarksWhatWasRead(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile func(*ground)
		want      string // base64
		change    string
	}{
		"edited": {
			func(g *ground) { g.patch("kubectl-edit", "Secret", "password", `{"data":{"password":"bWluZQ=="}}`) },
			`"bWluZQ=="`, "adopted Secret password",
		},
		"deleted": {
			func(g *ground) {
				if err := g.at("Secret").Delete(g.Context(), "password", metav1.DeleteOptions{}); err != nil {
					g.Fatal(err)
				}
			},
			`"c2Vjb25k"`, "created Secret password",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var g *ground
			armed := false
			g = on(t, func(o *Options) {
				o.Listener.Writing = func(w Write) {
					if w.Verb == "apply" && armed {
						armed = false
						test.meanwhile(g)
					}
				}
			})
			g.sync(g.target("web", password))
			moved := g.once(strings.Replace(password, "first", "second", 1))
			moved.App, moved.Keeps, armed = "shop", func(string, object.ID) bool { return false }, true
			g.want(test.change, name, g.sync(moved).Changes)
			g.wantField(test.want, name, "Secret", "password", "data", "password")
		})
	}
}

// The answer to its creation is lost, and the request is sent again: the object is the app's own, and was not there before.
func TestCreateOnlySurvivesALostAnswer(t *testing.T) {
	g := on(t)
	config := rest.CopyConfig(g.env.Config)
	lost := false
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(r)
			if err == nil && r.Method == http.MethodPatch && !lost {
				lost = true
				return nil, errors.Join(errors.New("connection reset"), response.Body.Close())
			}
			return response, err
		})
	})
	client, err := New(config, Options{Fleet: g.env.Prefix})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Sync(t.Context(), g.once(password)); err != nil || !lost {
		t.Fatalf("%v, lost %t", err, lost)
	}
	if _, adopted, ok := object.OwnerOf(g.live("Secret", "password")); !ok || adopted {
		t.Errorf("its marks: adopted %t, %t", adopted, ok)
	}
}

// What the API server makes of a version of an object that is not there, and of one that is, whoever asks and for
// whatever kind: what onlyIfAbsent rests on.
func TestApplyOfTheFirstVersionOnlyCreates(t *testing.T) {
	g := on(t)
	const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: onces.PREFIX.example.org}
spec:
  group: PREFIX.example.org
  names: {kind: Once, plural: onces}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`
	g.sync(g.target("definition", definition))
	for _, manifest := range []string{configMaps("a"), password, "apiVersion: PREFIX.example.org/v1\nkind: Once\nmetadata: {name: a, namespace: NS}\n"} {
		u := g.objects(manifest)[0]
		if u.GetNamespace() == "" {
			u.SetNamespace(g.namespace)
		}
		content, err := onlyIfAbsent(u)
		if err != nil {
			t.Fatal(err)
		}
		resource, err := g.client.cluster.Find(t.Context(), u.GroupVersionKind())
		if err != nil {
			t.Fatal(err)
		}
		for attempt := range 3 {
			for _, dry := range []bool{true, false} {
				_, created, err := g.client.cluster.Send(t.Context(), cluster.Request{
					Object: object.Of(u), Resource: resource, Manager: object.FieldManager, Form: types.ApplyPatchType, Content: content, DryRun: dry,
				})
				if attempt == 0 && (err != nil || !created) || attempt > 0 && !apierrors.IsConflict(err) {
					t.Errorf("%s, attempt %d, dry run %t: created %t, %v", u.GetKind(), attempt, dry, created, err)
				}
			}
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
