package rights

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// Verbs of those who read and write objects. An apply is a patch, which needs the right
// to create as well where the object is not there.
var (
	reads  = []string{"get", "list", "watch"}
	writes = []string{"create", "patch"}
)

// Kinds says of kinds what their resources are called and whether they have namespaces.
// The zero value knows those that Kubernetes names as usual, by their objects.
type Kinds struct {
	facts   app.Facts
	defined map[schema.GroupKind]resource
	served  bool // kinds that the cluster does not serve, and nobody defines, are not known
}

type resource struct {
	name       string
	namespaced bool
}

// definitionKind is the kind of the objects that define kinds.
var definitionKind = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}

// KindsOf returns what a cluster says of its kinds, or nothing if it was not asked, with
// what the apps on it define.
func KindsOf(facts app.Facts, apps []app.Desired) Kinds {
	k := Kinds{facts: facts, defined: map[schema.GroupKind]resource{}, served: len(facts.Scopes) > 0}
	for _, a := range apps {
		if a.Bundle == nil {
			continue
		}
		for _, u := range a.Bundle.Objects {
			if u.GroupVersionKind().GroupKind() != definitionKind {
				continue
			}
			group, _, _ := unstructured.NestedString(u.Object, "spec", "group")
			kind, _, _ := unstructured.NestedString(u.Object, "spec", "names", "kind")
			plural, _, _ := unstructured.NestedString(u.Object, "spec", "names", "plural")
			scope, _, _ := unstructured.NestedString(u.Object, "spec", "scope")
			k.defined[schema.GroupKind{Group: group, Kind: kind}] = resource{plural, scope == "Namespaced"}
		}
	}
	return k
}

// resource returns the resource of an object's kind, and false as long as that is not
// known: nothing can be written of it then.
func (k Kinds) resource(id object.ID) (resource, bool) {
	kind := id.GroupKind()
	if namespaced, known := k.facts.Namespaced(kind); known {
		return resource{k.facts.Resource(kind), namespaced}, true
	}
	if r, known := k.defined[kind]; known {
		return r, true
	}
	return resource{k.facts.Resource(kind), id.Namespace != ""}, !k.served
}

// Of returns the rights that an app needs: who keeps the cluster reads, and the app's
// service account writes, if it has one. Objects that the app's limits forbid need none,
// and those of a release are not known before it is rendered: OfRelease is about them.
func Of(a app.Desired, kinds Kinds) []Rule {
	if a.Bundle == nil {
		return nil
	}
	n := &needs{options: a.Options, kinds: kinds, user: UserOf(a.Options.ServiceAccount)}
	if namespace, name, is := accountOf(n.user); is {
		n.add(Rule{Verbs: []string{"impersonate"}, Resource: "serviceaccounts", Namespace: namespace, Names: []string{name}})
	}
	for _, u := range a.Bundle.Objects {
		n.object(u)
	}
	for _, u := range a.Bundle.Hooks {
		n.write(object.Of(u), "delete") // it is let go, and makes way for the next one
	}
	n.release(a.Bundle.Release)
	for _, id := range a.Options.Variables.From() {
		n.read(id)
		n.add(Rule{User: n.user, Verbs: []string{"get"}, Resource: n.kinds.facts.Resource(id.GroupKind()), Namespace: id.Namespace, Names: []string{id.Name}})
	}
	n.namespaces(a.Bundle)
	return Merge(n.rules)
}

// OfRelease returns the rights that the objects and hooks of an app's release need: who
// keeps the cluster reads the objects, and who writes reads and applies them all, and
// waits for what the release waits for. What the release has no more, and what a failed
// revision made, is deleted if the cluster lets it be.
func OfRelease(a app.Desired, kinds Kinds, objects, hooks []object.ID) []Rule {
	n := &needs{options: a.Options, kinds: kinds, user: UserOf(a.Options.ServiceAccount)}
	release := a.Bundle.Release
	legacy := release.Install.LegacyWait || release.Upgrade.LegacyWait
	waits := !legacy && (!release.Install.NoWait || !release.Upgrade.NoWait)
	for _, id := range objects {
		n.write(id, "get")
		if waits || id.GroupKind() == definitionKind {
			n.await(id)
		}
	}
	if release.Install.CreateNamespace {
		n.add(Rule{User: n.user, Verbs: writes, Resource: "namespaces", Names: []string{release.Namespace}, kind: "Namespace", optional: true})
	}
	if release.Install.NoHooks && release.Upgrade.NoHooks {
		hooks = nil
	}
	for _, id := range hooks {
		n.apply(id, "get", "delete")
		if !legacy {
			n.apply(id, "list", "watch")
		}
	}
	return Merge(n.rules)
}

// await adds that Helm waits for an object, as who writes: it follows the kind where the
// object is, and of a workload what that makes.
func (n *needs) await(id object.ID) {
	n.apply(id, "list", "watch")
	for _, made := range made[id.GroupKind()] {
		n.add(Rule{User: n.user, Verbs: []string{"list"}, Group: made.Group, Resource: n.kinds.facts.Resource(made), Namespace: id.Namespace, kind: made.Kind})
	}
}

// made are the kinds of what workloads make.
var made = map[schema.GroupKind][]schema.GroupKind{
	{Group: "apps", Kind: "Deployment"}:  {{Group: "apps", Kind: "ReplicaSet"}, {Kind: "Pod"}},
	{Group: "apps", Kind: "ReplicaSet"}:  {{Kind: "Pod"}},
	{Group: "apps", Kind: "StatefulSet"}: {{Kind: "Pod"}},
}

// needs are the rules of one app, as they are found.
type needs struct {
	options app.Options
	kinds   Kinds
	user    string // who writes
	rules   []Rule
}

func (n *needs) add(r Rule) { n.rules = append(n.rules, r) }

// rule is about the kind of an object, where the object is.
func (n *needs) rule(id object.ID) (r Rule, known bool) {
	found, known := n.kinds.resource(id)
	r = Rule{Group: id.Group, Resource: found.name, kind: id.Kind}
	if found.namespaced {
		r.Namespace = id.Namespace
	}
	return r, known
}

// read adds that an object is read and followed.
func (n *needs) read(id object.ID) {
	if r, known := n.rule(id); known {
		r.Verbs = reads
		n.add(r)
	}
}

// write adds that an object is read and applied, and what else is done to it.
func (n *needs) write(id object.ID, besides ...string) {
	if n.apply(id, besides...) {
		n.read(id)
	}
}

// apply adds that who writes applies an object, and what else is done to it, unless
// limits forbid it.
func (n *needs) apply(id object.ID, besides ...string) (permitted bool) {
	r, known := n.rule(id)
	if _, permitted = n.options.Permits(id, r.Namespace != "", true); !known || !permitted {
		return false
	}
	r.User, r.Verbs = n.user, slices.Concat(writes, besides)
	n.add(r)
	return true
}

// object adds what an object of the app needs.
func (n *needs) object(u *unstructured.Unstructured) {
	id := object.Of(u)
	var besides []string
	if n.options.Prune || n.options.Replace || object.ReplaceAsked(u) {
		besides = append(besides, "delete")
	}
	if !n.options.CorrectDrift {
		besides = append(besides, "update") // a dry run shows what would be taken over
	}
	n.write(id, besides...)
	if _, scaled, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "replicas"); scaled {
		n.read(object.ID{Group: "autoscaling", Kind: "HorizontalPodAutoscaler", Namespace: id.Namespace})
		if _, served := n.kinds.facts.Namespaced(kedaScaler); served {
			n.read(object.ID{Group: kedaScaler.Group, Kind: kedaScaler.Kind, Namespace: id.Namespace})
		}
	}
}

// kedaScaler is another kind whose objects say how many replicas a workload has.
var kedaScaler = schema.GroupKind{Group: "keda.sh", Kind: "ScaledObject"}

// release adds what Helm's records need.
func (n *needs) release(r *app.Release) {
	if r == nil {
		return
	}
	namespace := cmp.Or(r.Storage, r.Namespace)
	user := n.user
	if at, _, is := accountOf(user); is && at == namespace {
		user = "" // in its own namespace an account need not read Secrets
	}
	records := Rule{User: user, Resource: "secrets", Namespace: namespace, kind: "Secret"}
	records.Verbs = []string{"get", "list", "create", "update", "patch", "delete"}
	n.add(records)
}

// namespaces adds what the namespaces need that the app makes where nobody has them.
func (n *needs) namespaces(bundle *app.Bundle) {
	if !n.options.CreateNamespace {
		return
	}
	seen := map[string]bool{}
	for _, u := range slices.Concat(bundle.Objects, bundle.Hooks) {
		if id := object.Of(u); id.Namespace != "" {
			seen[id.Namespace] = true
		}
	}
	for _, u := range bundle.Objects {
		if id := object.Of(u); id.Group == "" && id.Kind == "Namespace" {
			delete(seen, id.Name) // it needs them as the object that it is
		}
	}
	described := len(n.options.NamespaceMetadata.Labels)+len(n.options.NamespaceMetadata.Annotations) > 0
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if _, permitted := n.options.Permits(object.ID{Kind: "Namespace", Name: name}, false, true); permitted {
			n.add(Rule{User: n.user, Verbs: writes, Resource: "namespaces", Names: []string{name}, kind: "Namespace", optional: !described})
		}
	}
}
