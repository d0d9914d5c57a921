package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/app"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
	"nave.dev/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// ground is a namespace of a real API server, with a client of this package and
// one of an ordinary person.
type ground struct {
	*testing.T
	env       *testenv.Env
	namespace string
	client    *Client
	person    dynamic.Interface
	requests  *requests
}

// on returns a ground on the API server that the package's tests share.
func on(t *testing.T, adjust ...func(*Options)) *ground {
	t.Helper()
	return groundOf(t, testenv.New(t), adjust...)
}

func groundOf(t *testing.T, env *testenv.Env, adjust ...func(*Options)) *ground {
	t.Helper()
	g := &ground{T: t, env: env, namespace: env.Namespace(t), requests: &requests{}}
	person, err := dynamic.NewForConfig(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	g.person = person
	g.client = g.another(adjust...)
	return g
}

// another returns a fresh client, as after a restart. Each test is a fleet of
// its own, since all share one API server.
func (g *ground) another(adjust ...func(*Options)) *Client {
	g.Helper()
	options := Options{Fleet: g.env.Prefix, DigestKey: []byte("key")}
	for _, f := range adjust {
		f(&options)
	}
	config := rest.CopyConfig(g.env.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return counting{next, g.requests} })
	c, err := New(config, options)
	if err != nil {
		g.Fatal(err)
	}
	return c
}

// requests counts what a client sends.
type requests struct {
	mu    sync.Mutex
	lines []string
}

type counting struct {
	next http.RoundTripper
	to   *requests
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.to.mu.Lock()
	c.to.lines = append(c.to.lines, r.Method+" "+r.URL.RequestURI())
	c.to.mu.Unlock()
	return c.next.RoundTrip(r)
}

// take returns the requests since the last call, and those among them that write.
func (r *requests) take() (all, writes []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, r.lines = r.lines, nil
	for _, line := range all {
		if !strings.HasPrefix(line, "GET ") && !strings.Contains(line, "dryRun") {
			writes = append(writes, line)
		}
	}
	return all, writes
}

// objects reads manifests; NS stands for the test's namespace, PREFIX for the
// beginning of names that only this test uses.
func (g *ground) objects(manifests string) []*unstructured.Unstructured {
	g.Helper()
	manifests = strings.NewReplacer("NS", g.namespace, "PREFIX", g.env.Prefix).Replace(manifests)
	var found []*unstructured.Unstructured
	for _, text := range strings.Split(manifests, "\n---\n") {
		data, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			g.Fatalf("%v in\n%s", err, text)
		}
		if string(data) == "null" {
			continue
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(data); err != nil {
			g.Fatalf("%v in\n%s", err, text)
		}
		found = append(found, u)
	}
	return found
}

// target returns an app with the objects, pruned and corrected.
func (g *ground) target(name, manifests string) Target {
	g.Helper()
	bundle, err := app.NewBundle(g.objects(manifests), nil)
	if err != nil {
		g.Fatal(err)
	}
	return Target{
		App: name, Bundle: bundle, Complete: true, ClusterObjects: 1000,
		Options: app.Options{Prune: true, CorrectDrift: true},
	}
}

// with returns the target with other manifests. The cluster record remembers the
// kinds of those before.
func (g *ground) with(t Target, manifests string) Target {
	g.Helper()
	t.Kinds = slices.Concat(t.Kinds, Kinds(t))
	next := g.target(t.App, manifests)
	t.Bundle = next.Bundle
	return t
}

// sync runs Sync and wants no error.
func (g *ground) sync(t Target) Result {
	g.Helper()
	result, err := g.client.Sync(g.Context(), t)
	if err != nil {
		g.Fatal(err)
	}
	return result
}

// repair runs Repair on all objects of the target and wants no error.
func (g *ground) repair(t Target) Result {
	g.Helper()
	var ids []object.ID
	for _, u := range t.Bundle.Objects {
		ids = append(ids, object.Of(u))
	}
	result, err := g.client.Repair(g.Context(), t, ids)
	if err != nil {
		g.Fatal(err)
	}
	return result
}

func (g *ground) diff(t Target) change.Set {
	g.Helper()
	set, err := g.client.Diff(g.Context(), t)
	if err != nil {
		g.Fatal(err)
	}
	return set
}

// plurals of the kinds that tests use.
var plurals = map[string]schema.GroupVersionResource{
	"ConfigMap":      {Version: "v1", Resource: "configmaps"},
	"Secret":         {Version: "v1", Resource: "secrets"},
	"Service":        {Version: "v1", Resource: "services"},
	"ServiceAccount": {Version: "v1", Resource: "serviceaccounts"},
	"Namespace":      {Version: "v1", Resource: "namespaces"},
	"Deployment":     {Group: "apps", Version: "v1", Resource: "deployments"},
	"Job":            {Group: "batch", Version: "v1", Resource: "jobs"},
	"StatefulSet":    {Group: "apps", Version: "v1", Resource: "statefulsets"},
	"ClusterRole":    {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
	"ValidatingWebhookConfiguration": {
		Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
	"HorizontalPodAutoscaler":  {Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
	"PersistentVolumeClaim":    {Version: "v1", Resource: "persistentvolumeclaims"},
	"CustomResourceDefinition": {Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
}

// at returns a person's way to the objects of a kind, in the test's namespace if
// the kind has namespaces.
func (g *ground) at(kind string) dynamic.ResourceInterface {
	g.Helper()
	resource, ok := plurals[kind]
	if !ok {
		g.Fatalf("no plural of %s", kind)
	}
	switch kind {
	case "Namespace", "ClusterRole", "ValidatingWebhookConfiguration", "CustomResourceDefinition":
		return g.person.Resource(resource)
	}
	return g.person.Resource(resource).Namespace(g.namespace)
}

// live reads an object, nil if it is not there.
func (g *ground) live(kind, name string) *unstructured.Unstructured {
	g.Helper()
	name = strings.ReplaceAll(name, "PREFIX", g.env.Prefix)
	u, err := g.at(kind).Get(g.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		g.Fatal(err)
	}
	return u
}

// field reads one field of an object as JSON; "absent" if it has none.
func (g *ground) field(kind, name string, path ...any) string {
	g.Helper()
	u := g.live(kind, name)
	if u == nil {
		return "no object"
	}
	var at any = u.Object
	for _, step := range path {
		switch step := step.(type) {
		case string:
			fields, ok := at.(map[string]any)
			if !ok || fields[step] == nil {
				return "absent"
			}
			at = fields[step]
		case int:
			items, ok := at.([]any)
			if !ok || len(items) <= step {
				return "absent"
			}
			at = items[step]
		}
	}
	data, err := json.Marshal(at)
	if err != nil {
		g.Fatal(err)
	}
	return string(data)
}

// wantField checks one field of a live object.
func (g *ground) wantField(want, reason, kind, name string, path ...any) {
	g.Helper()
	if got := g.field(kind, name, path...); got != want {
		g.Errorf("%s %s: %v is %s, want %s: %s", kind, name, path, got, want, reason)
	}
}

// create makes objects as somebody else does, under a field manager.
func (g *ground) create(manager, manifests string) {
	g.Helper()
	for _, u := range g.objects(manifests) {
		if _, err := g.at(u.GetKind()).Create(g.Context(), u, metav1.CreateOptions{FieldManager: manager}); err != nil {
			g.Fatal(err)
		}
	}
}

// patch changes an object by a merge patch, as somebody else does.
func (g *ground) patch(manager, kind, name, patch string, subresources ...string) {
	g.Helper()
	name = strings.ReplaceAll(name, "PREFIX", g.env.Prefix)
	_, err := g.at(kind).Patch(g.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: manager}, subresources...)
	if err != nil {
		g.Fatal(err)
	}
}

// update replaces an object, as somebody else does.
func (g *ground) update(manager string, u *unstructured.Unstructured) {
	g.Helper()
	if _, err := g.at(u.GetKind()).Update(g.Context(), u, metav1.UpdateOptions{FieldManager: manager}); err != nil {
		g.Fatal(err)
	}
}

func (g *ground) delete(kind, name string) {
	g.Helper()
	name = strings.ReplaceAll(name, "PREFIX", g.env.Prefix)
	if err := g.at(kind).Delete(g.Context(), name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		g.Fatal(err)
	}
}

// onEnd deletes a cluster-wide object when the test ends.
func (g *ground) onEnd(kind, name string) {
	g.Cleanup(func() {
		name = strings.ReplaceAll(name, "PREFIX", g.env.Prefix)
		err := g.at(kind).Delete(context.WithoutCancel(g.Context()), name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			g.Error(err)
		}
	})
}

// eventually waits for a condition, which returns what is missing.
func (g *ground) eventually(what string, condition func() string) {
	g.Helper()
	last := ""
	err := wait.PollUntilContextTimeout(g.Context(), 50*time.Millisecond, 90*time.Second, true, func(context.Context) (bool, error) {
		last = condition()
		return last == "", nil
	})
	if err != nil {
		g.Fatalf("waiting until %s: %s", what, last)
	}
}

// summary writes a set as "created ConfigMap a; …", in alphabetical order.
func summary(set change.Set) string {
	var parts []string
	for _, entry := range set {
		id := entry.Object
		parts = append(parts, fmt.Sprintf("%s %s %s", entry.Action, id.Kind, id.Name))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

// want checks what was done, in alphabetical order.
func (g *ground) want(want, reason string, set change.Set) {
	g.Helper()
	if got := strings.ReplaceAll(summary(set), g.env.Prefix, "PREFIX"); got != want {
		g.Errorf("%s\n got %s\nwant %s\n%s", reason, got, want, set)
	}
}

// entry returns the entry of one object.
func entryOf(set change.Set, kind, name string) change.Entry {
	for _, entry := range set {
		if entry.Object.Kind == kind && entry.Object.Name == name {
			return entry
		}
	}
	return change.Entry{}
}
