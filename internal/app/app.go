// Package app is the vocabulary for applications on their way from Git to a
// cluster: what to render, what came of it, and what one cluster should hold. Its
// values cross between the engines; it renders, compares and applies nothing.
package app

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/object"
)

// Spec is one app of one cluster before it is rendered.
type Spec struct {
	Name     string // unique within its cluster
	Delivery string // of which it is, or is a child
	// Parts are the sources of the app. Of an object that several have, that of the
	// last one counts.
	Parts   []Part
	Options Options
	Dialect Dialect
}

// Dialect says what becomes of objects that ask for further apps. The zero value
// reads them for the cluster whose app has them.
type Dialect struct {
	Applied bool // like any other object
	// Fleet reads them once, for all clusters that the Delivery selects; InCluster is
	// the one of these that they mean when they say so, empty if none is.
	Fleet     bool
	InCluster string
}

// Source says where an app's files are. Repository is the name of a source of
// the Fleet, empty for the fleet repository itself; Commit is what its revision
// resolved to. Chart is the name of a chart, whose root the Path is below then.
type Source struct {
	Repository string `json:"repository,omitempty"`
	Commit     string `json:"commit"`
	Path       string `json:"path"` // slash-separated, "." for the root
	Chart      string `json:"chart,omitempty"`
}

// Facts are what a cluster says of itself that rendering may need. The zero
// value means that nothing is known.
type Facts struct {
	KubernetesVersion string   `json:"kubernetesVersion,omitempty"` // such as v1.36.3
	APIVersions       []string `json:"apiVersions,omitempty"`       // group/version and group/version/Kind, sorted
	// Scopes says of each kind, as Kind.group, whether it has namespaces.
	Scopes map[string]bool `json:"scopes,omitempty"`
	// Resources are the names of those resources, by Kind.group, that are not called
	// as their kind is in the plural.
	Resources map[string]string `json:"resources,omitempty"`
}

// Resource returns what the resource of a kind is called, as rules of RBAC name it.
// Of a kind that nothing is known of it is the kind in the plural.
func (f Facts) Resource(kind schema.GroupKind) string {
	if resource, ok := f.Resources[kind.String()]; ok {
		return resource
	}
	usual, _ := meta.UnsafeGuessKindToResource(kind.WithVersion(""))
	return usual.Resource
}

// Namespaced reports whether a kind has namespaces, and whether that is known.
func (f Facts) Namespaced(kind schema.GroupKind) (namespaced, known bool) {
	namespaced, known = f.Scopes[kind.String()]
	return namespaced, known
}

// Options say how an app is kept on its cluster.
type Options struct {
	Prune bool `json:"prune"` // delete what Git no longer has
	// CorrectDrift undoes changes by others; otherwise they are only reported.
	CorrectDrift bool `json:"correctDrift"`
	// IgnoreFields are never drift, such as spec.replicas, per kind.
	IgnoreFields []FieldRule `json:"ignoreFields,omitempty"`
	// CreateOnly are objects that are created and then left as they are.
	CreateOnly ObjectRules `json:"createOnly,omitempty"`
	// ConfirmPrune is the digest of a held list of prunes whose deletion was
	// reviewed with the commit.
	ConfirmPrune string `json:"confirmPrune,omitempty"`
	// Replace deletes and creates objects whose immutable fields changed.
	Replace bool `json:"replace,omitempty"`
	// PruneFirst does not wait for what is new to be healthy.
	PruneFirst bool `json:"pruneFirst,omitempty"`
	// ServiceAccount, as NAMESPACE/NAME, is impersonated for writes.
	ServiceAccount string        `json:"serviceAccount,omitempty"`
	Limits         Limits        `json:"limits,omitzero"`
	DependsOn      []string      `json:"dependsOn,omitempty"` // names of apps of the same cluster
	Deadline       time.Duration `json:"deadline,omitempty"`  // to become healthy; 0 means 10 minutes
	Suspend        bool          `json:"suspend,omitempty"`   // nothing is written
	// CreateNamespace makes the namespaces of the app's objects that no app has,
	// with NamespaceMetadata.
	CreateNamespace   bool     `json:"createNamespace,omitempty"`
	NamespaceMetadata Metadata `json:"namespaceMetadata,omitzero"`

	Lineage Lineage `json:"lineage,omitzero"`
	// Dialects applies objects of kinds that ask for apps. Otherwise these are read,
	// and what is on the cluster of them is left as it is.
	Dialects bool `json:"dialects,omitempty"`
	// Leaves are objects that are neither applied nor deleted.
	Leaves ObjectRules `json:"leaves,omitempty"`
	// Selves are names of further objects that ask for the app, as what installed another
	// program calls what a Delivery is here.
	Selves []string `json:"selves,omitempty"`
	// Gates and After order the app among others, beside DependsOn.
	Gates []Gate       `json:"gates,omitempty"`
	After []Precedence `json:"after,omitempty"`
	// Ready are apps that it waits for by other rules than DependsOn.
	Ready []Readiness `json:"ready,omitempty"`
	// HealthChecks judge the health of objects of the app in place of all other rules.
	HealthChecks []HealthCheck `json:"healthChecks,omitempty"`
	// Variables are what replaces those in Deferred objects; nil leaves them.
	Variables *Variables `json:"variables,omitempty"`
	// Manual leaves it to people to begin a sync; until then the app is OutOfSync.
	Manual  bool     `json:"manual,omitempty"`
	Windows []Window `json:"windows,omitempty"`
	// Retry replaces the usual waits before a failed sync is tried again.
	Retry *Retry `json:"retry,omitempty"`
	// Differences are never drift. They are brought about with what else changes in
	// an object all the same, unless LeaveDifferences is set.
	Differences      []Difference `json:"differences,omitempty"`
	LeaveDifferences bool         `json:"leaveDifferences,omitempty"`
	// AllowEmpty lets an app that has no objects left in Git delete the last ones,
	// within the safety rules.
	AllowEmpty bool `json:"allowEmpty,omitempty"`
	// HoldPrunes holds every deletion of the app for confirmation.
	HoldPrunes bool `json:"holdPrunes,omitempty"`
	// Propagation is how deletions propagate to what depends on an object:
	// "foreground", "background" or "orphan"; empty is background.
	Propagation string `json:"propagation,omitempty"`
	// Project are the limits of a project that the app is in: what the app may touch
	// is what both they and Limits permit.
	Project Limits `json:"project,omitzero"`
}

// Restrain takes over of newer options, those of an app in error, what it must not go
// on with: that it is suspended, and what it may touch, by whose rights. What newer
// options do not state may just not be known, and stays.
func (o *Options) Restrain(newer Options) {
	o.Suspend = o.Suspend || newer.Suspend
	o.ServiceAccount = cmp.Or(newer.ServiceAccount, o.ServiceAccount)
	for limits, now := range map[*Limits]Limits{&o.Limits: newer.Limits, &o.Project: newer.Project} {
		if !reflect.ValueOf(now).IsZero() {
			*limits = now
		}
	}
}

// FieldRule names fields of some kinds.
type FieldRule struct {
	Group string   `json:"group,omitempty"`
	Kind  string   `json:"kind"`            // "*" is every kind
	Name  string   `json:"name,omitempty"`  // empty is every name
	Paths []string `json:"paths,omitempty"` // such as spec.replicas or metadata.annotations["a/b"]
}

// ObjectRule names objects of a kind.
type ObjectRule struct {
	Group string `json:"group,omitempty"`
	Kind  string `json:"kind"`
	Name  string `json:"name,omitempty"` // empty is every name
}

// ObjectRules name objects.
type ObjectRules []ObjectRule

// Match reports whether a rule names the object.
func (rules ObjectRules) Match(id object.ID) bool {
	return slices.ContainsFunc(rules, func(r ObjectRule) bool {
		return r.Kind == id.Kind && r.Group == id.Group && (r.Name == "" || r.Name == id.Name)
	})
}

// Bundle is the rendered objects of one app for one cluster: clean, in the
// order of application, and named by their content. It is immutable.
type Bundle struct {
	Objects []*unstructured.Unstructured
	Digest  string
	// Hooks are objects that run at a phase of a sync and are not kept; they are
	// not among Objects.
	Hooks []*unstructured.Unstructured
	// Encrypted are the files that encrypted objects came from, as SOPS left them:
	// their MACs can be checked on nothing else. By path.
	Encrypted []EncryptedFile
	// Release is what an app should be that is a release of Helm; it has nothing else
	// then. nil for any other.
	Release *Release
}

// EncryptedFile is a file that SOPS encrypted. Data must not be changed.
type EncryptedFile struct {
	Path string `json:"path"`
	Data []byte `json:"data"`
}

// NewBundle cleans and orders objects and names them by their content, whatever
// order they are given in. Two objects of one identity are an error that names
// it; hooks may share one, since their names may be generated. The files that
// encrypted objects came from are part of the content.
func NewBundle(objects, hooks []*unstructured.Unstructured, encrypted ...EncryptedFile) (*Bundle, error) {
	seen := map[object.ID]bool{}
	for _, u := range objects {
		id := object.Of(u)
		if seen[id] {
			return nil, &DuplicateError{ID: id}
		}
		seen[id] = true
	}
	bundle := &Bundle{}
	var objectParts, hookParts [][]byte
	var err error
	if bundle.Objects, objectParts, err = settle(objects); err != nil {
		return nil, err
	}
	if bundle.Hooks, hookParts, err = settle(hooks); err != nil {
		return nil, err
	}
	parts := slices.Concat(objectParts, [][]byte{nil}, hookParts, [][]byte{nil})
	bundle.Encrypted = slices.SortedFunc(slices.Values(encrypted), func(a, b EncryptedFile) int { return cmp.Compare(a.Path, b.Path) })
	for _, file := range bundle.Encrypted {
		parts = append(parts, []byte(file.Path), file.Data)
	}
	bundle.Digest = object.Digest(parts...)
	return bundle, nil
}

// settle returns objects clean and in order, and their canonical forms. Those of
// one identity are in the order of these.
func settle(objects []*unstructured.Unstructured) (clean []*unstructured.Unstructured, parts [][]byte, err error) {
	encoded := make(map[*unstructured.Unstructured][]byte, len(objects))
	for _, u := range objects {
		u = object.Clean(u)
		if encoded[u], err = object.Canonical(u); err != nil {
			return nil, nil, err
		}
		clean = append(clean, u)
	}
	slices.SortFunc(clean, func(a, b *unstructured.Unstructured) int { return bytes.Compare(encoded[a], encoded[b]) })
	object.Sort(clean)
	for _, u := range clean {
		parts = append(parts, encoded[u])
	}
	return clean, parts, nil
}

// DuplicateError says that an app has two objects of one identity.
type DuplicateError struct{ ID object.ID }

// Error names the object.
func (e *DuplicateError) Error() string { return fmt.Sprintf("%s is there twice", e.ID) }

// Desired is what a cluster should hold of one app.
type Desired struct {
	Name    string
	Options Options
	// Removed says that the app is no longer asked for and that all its objects are
	// to be deleted. Its bundle is empty.
	Removed bool
	// Bundle is nil if the app's present state is in error; then Err says why, and
	// what was last accepted stays in force.
	Bundle *Bundle
	Err    error
}

// ErrRendering is why an assignment is incomplete that has what is rendered so far:
// the rest follows.
var ErrRendering = errors.New("the other apps are being rendered")

// Assignment is what one cluster should hold.
type Assignment struct {
	Cluster string
	Fleet   string
	Apps    []Desired // by name
	// Incomplete says why the evaluation could not tell all apps, if so: then no
	// app that is missing from Apps is taken for removed.
	Incomplete error
}

// Digest names the assignment's content: apps, bundles and options, and the
// fleet, whose name is written on every object; not the commits that they came
// from.
func (a *Assignment) Digest() string {
	parts := [][]byte{[]byte(a.Fleet)}
	for _, desired := range a.Apps {
		options, err := json.Marshal(desired.Options)
		if err != nil {
			panic(err) // plain data
		}
		digest := "error"
		if desired.Bundle != nil {
			digest = desired.Bundle.Digest
		}
		if desired.Removed {
			digest = "removed"
		}
		parts = append(parts, []byte(desired.Name), []byte(digest), options)
	}
	return object.Digest(parts...)
}

// Sort puts the apps into the order of their names.
func (a *Assignment) Sort() {
	slices.SortFunc(a.Apps, func(x, y Desired) int { return cmp.Compare(x.Name, y.Name) })
}

// Snapshot is one state of all inputs: the fleet repository's commit and what
// every other source resolved to, by its name and revision.
type Snapshot struct {
	Fleet   string            `json:"fleet"`
	Sources map[string]string `json:"sources,omitempty"` // "name@revision" to commit
}

// ID names the snapshot by its content.
func (s Snapshot) ID() string {
	parts := [][]byte{[]byte(s.Fleet)}
	for _, key := range slices.Sorted(maps.Keys(s.Sources)) {
		parts = append(parts, []byte(key), []byte(s.Sources[key]))
	}
	return object.Digest(parts...)
}
