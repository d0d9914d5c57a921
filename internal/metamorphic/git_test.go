package metamorphic

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke"
)

// kind is one that the stories use.
type kind struct {
	group, version, kind string
	path                 string // of a list over all namespaces
	clusterWide          bool
}

var kinds = []kind{
	{"", "v1", "ConfigMap", "/api/v1/configmaps", false},
	{"", "v1", "Secret", "/api/v1/secrets", false},
	{"", "v1", "PersistentVolumeClaim", "/api/v1/persistentvolumeclaims", false},
	{"", "v1", "Namespace", "/api/v1/namespaces", true},
	{"apps", "v1", "Deployment", "/apis/apps/v1/deployments", false},
	{"autoscaling", "v2", "HorizontalPodAutoscaler", "/apis/autoscaling/v2/horizontalpodautoscalers", false},
	{"rbac.authorization.k8s.io", "v1", "ClusterRole", "/apis/rbac.authorization.k8s.io/v1/clusterroles", true},
}

var kindPaths = func() map[string]bool {
	paths := map[string]bool{}
	for _, k := range kinds {
		paths[k.path] = true
	}
	return paths
}()

// thing is one of the objects that Git may have.
type thing int

// The things: eight ordinary ConfigMaps, and one of each that has rules of its own.
const (
	ordinary  = 8                   // ConfigMaps
	immutable = thing(iota + 7)     // a ConfigMap that cannot be changed
	secret                          // with stringData
	workload                        // a Deployment
	scaled                          // a Deployment that the autoscaler may target
	scaler                          // the autoscaler
	role                            // of the whole cluster
	generated                       // a ConfigMap whose name has a suffix of its content
	volume                          // a PersistentVolumeClaim, which is deleted only when confirmed
	space                           // a Namespace, which is so too
	inner                           // a ConfigMap in it
	things    = int(inner) + 1      // how many there are
	values    = 5                   // that a thing may have
	suffixes  = "bcdfghkmt2456789"  // letters of generated names
	generator = "settings-bcdfghkm" // and the beginning of one
)

// content is what Git says of a thing.
type content struct {
	value    int
	extra    bool // another field
	keep     bool // never to be pruned
	wave     int
	replicas int // 0: not stated
}

// tree is one app in Git.
type tree struct {
	things  map[thing]content
	options app.Options
	broken  bool // it does not render
	empty   bool // by mistake
	known   bool // the spokes have had it rendered before it broke
	good    map[thing]content
	limit   limit
	once    bool // some of its things are only to be created
}

// claimed are the things that stay in force.
func (t *tree) claimed() map[thing]content {
	switch {
	case t.broken:
		return t.good
	case t.empty:
		return nil
	}
	return t.things
}

// git is what the last commit says.
type git struct {
	trees   map[string]*tree
	missing string          // an app that this evaluation could not tell, if any
	budget  map[string]bool // apps of which the fleet's budget holds all deletions
}

func (g *git) names() []string { return slices.Sorted(maps.Keys(g.trees)) }

// owners are the apps that have a thing in Git.
func (g *git) owners(t thing) (names []string) {
	for _, name := range g.names() {
		if _, has := g.trees[name].things[t]; has {
			names = append(names, name)
		}
	}
	return names
}

// identity of a thing with a content.
func (w *world) identity(t thing, c content) object.ID {
	id := object.ID{Kind: "ConfigMap", Namespace: w.namespace}
	switch t {
	case immutable:
		id.Name = "fixed"
	case secret:
		id.Kind, id.Name = "Secret", "token"
	case workload, scaled:
		id.Group, id.Kind, id.Name = "apps", "Deployment", fmt.Sprintf("web%d", t-workload)
	case scaler:
		id.Group, id.Kind, id.Name = "autoscaling", "HorizontalPodAutoscaler", "web1"
	case role:
		id = object.ID{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: w.name + "-reader"}
	case volume:
		id.Kind, id.Name = "PersistentVolumeClaim", "data"
	case space:
		id = object.ID{Kind: "Namespace", Name: w.more}
	case inner:
		id.Namespace, id.Name = w.more, "inner"
	case generated:
		id.Name = generator + suffixes[c.value:c.value+1] + "2"
	default:
		id.Name = fmt.Sprintf("c%d", t)
	}
	return id
}

// object is a thing as Git has it.
func (w *world) object(t thing, c content) *unstructured.Unstructured {
	id := w.identity(t, c)
	u := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": id.Name}}}
	for _, k := range kinds {
		if k.kind == id.Kind {
			u.SetAPIVersion(k.group + "/" + k.version)
			if k.group == "" {
				u.SetAPIVersion(k.version)
			}
		}
	}
	u.SetKind(id.Kind)
	u.SetNamespace(w.namespace) // also where the kind has none
	if t == inner {
		u.SetNamespace(w.more)
	}
	labels := map[string]string{"team": "sea"}
	if t == volume || t == space {
		labels["value"] = fmt.Sprintf("v%d", c.value)
	}
	u.SetLabels(labels)
	annotations := map[string]string{}
	if c.wave != 0 {
		annotations["argocd.argoproj.io/sync-wave"] = fmt.Sprint(c.wave)
	}
	if c.keep {
		annotations["nave.dev/prune"] = "disabled"
	}
	if len(annotations) > 0 {
		u.SetAnnotations(annotations)
	}
	value := fmt.Sprintf("v%d", c.value)
	switch t {
	case workload, scaled:
		container := map[string]any{"name": "web", "image": "example.org/web:" + value}
		if c.extra {
			container["env"] = []any{map[string]any{"name": "EXTRA", "value": value}}
		}
		spec := map[string]any{
			"selector": map[string]any{"matchLabels": map[string]any{"app": id.Name}},
			"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]any{"app": id.Name}},
				"spec":     map[string]any{"containers": []any{container}},
			},
		}
		if c.replicas > 0 {
			spec["replicas"] = int64(c.replicas)
		}
		u.Object["spec"] = spec
	case scaler:
		u.Object["spec"] = map[string]any{
			"scaleTargetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web1"},
			"maxReplicas":    int64(5 + c.value),
		}
	case role:
		u.Object["rules"] = []any{map[string]any{
			"apiGroups": []any{""}, "resources": []any{"pods"}, "verbs": []any{"get"}, "resourceNames": []any{value},
		}}
	case volume:
		u.Object["spec"] = map[string]any{
			"accessModes": []any{"ReadWriteOnce"}, "resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}},
		}
	case space:
	default:
		data := map[string]any{"key": value}
		if c.extra {
			data["extra"] = value
		}
		field := "data"
		if t == secret {
			field = "stringData"
		}
		u.Object[field] = data
		if t == immutable {
			u.Object["immutable"] = true
		}
	}
	return u
}

// assignment is what is given to a spoke for the state of Git.
func (w *world) assignment() *spoke.Assigned {
	a := &app.Assignment{Cluster: "one", Fleet: fleet}
	for _, name := range w.git.names() {
		t := w.git.trees[name]
		if name == w.git.missing {
			a.Incomplete = errors.New("a file cannot be read")
			continue
		}
		desired := app.Desired{Name: name, Options: t.options}
		desired.Options.Limits = w.in(t.limit)
		if t.once {
			desired.Options.CreateOnly = once
		}
		if t.broken {
			desired.Err = errors.New("it does not render")
		}
		if !t.broken || t.known { // who assigns knows what it was, if anybody does
			var objects []*unstructured.Unstructured
			for thing, c := range t.claimed() {
				objects = append(objects, w.object(thing, c))
			}
			bundle, err := app.NewBundle(objects, nil)
			if err != nil {
				panic(err) // the things are all different
			}
			desired.Bundle = bundle
		}
		a.Apps = append(a.Apps, desired)
	}
	holds := map[string]string{}
	for name := range w.git.budget {
		holds[name] = "the fleet's budget is used up"
	}
	return &spoke.Assigned{Assignment: a, Number: w.number, Holds: holds}
}
