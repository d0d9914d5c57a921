// Package ownership answers, for one object at a time, who owns which field:
// it reads metadata.managedFields into an [Object], compares what Nave wants
// with what it owns, finds fields that former deployers and people added, and
// says which entries Nave takes over when it adopts. It is pure: it sends no
// request, and where only an API server can tell the effect of a change, its
// caller asks one.
package ownership

import (
	"path"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"nave.dev/internal/object"
)

// BeforeFirstApply is the name that an API server gives to whoever made an
// object that had no managed fields when it was first applied.
const BeforeFirstApply = "before-first-apply"

// HandoverManager owns fields that Nave gave up, so that they keep their value.
const HandoverManager = "nave-handover"

const (
	lastAppliedAnnotation = "kubectl.kubernetes.io/last-applied-configuration"
	restartedAnnotation   = "kubectl.kubernetes.io/restartedAt"
)

// Former are the field managers whose fields count as added drift and are taken
// over by adoption unless the caller lists others: people at a keyboard, and
// the tools that deployed before Nave. A "*" stands for any characters.
var Former = []string{
	"kubectl", "kubectl-*", "helm", "helm-controller", "argocd-controller", "argocd-application-controller",
	"kustomize-controller", BeforeFirstApply,
}

// Entry is one entry of an object's managed fields.
type Entry struct {
	Manager     string
	Operation   metav1.ManagedFieldsOperationType
	Subresource string
	APIVersion  string
	Time        time.Time
	Fields      *fieldpath.Set
}

// ours reports whether the entry is that under which Nave applies.
func (e Entry) ours() bool {
	return e.Manager == object.FieldManager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == ""
}

// Object is an object as it was read from a cluster, with its fields by owner.
type Object struct {
	*unstructured.Unstructured
	Entries []Entry
	// Ours are the fields that Nave applied; nil if it has no entry.
	Ours *fieldpath.Set
	// managed says that the object has managed fields, whether or not they could be
	// decoded.
	managed bool
}

// Read decodes an object's managed fields. An entry that cannot be decoded owns
// nothing.
func Read(u *unstructured.Unstructured) Object {
	all := object.ManagedFields(u)
	o := Object{Unstructured: u, managed: len(all) > 0}
	for _, raw := range all {
		entry, ok := readEntry(raw)
		if !ok {
			continue
		}
		if entry.ours() {
			o.Ours = entry.Fields
		}
		o.Entries = append(o.Entries, entry)
	}
	return o
}

// Rules say which fields are whose business.
type Rules struct {
	Former []string  // field managers, with "*" for any characters
	Left   []Pattern // fields that Nave leaves to others
	// These are fields of the one object that the rules are for, left as well.
	These *fieldpath.Set
}

// former reports whether an entry belongs to a person or a former deployer. What
// they did through a subresource, such as a scale, never counts.
func (r Rules) former(e Entry) bool {
	if e.Subresource != "" || e.ours() || e.Manager == HandoverManager {
		return false
	}
	return slices.ContainsFunc(r.Former, func(pattern string) bool {
		matched, err := path.Match(pattern, e.Manager)
		return err == nil && matched
	})
}

// left reports whether Nave leaves a field alone whoever set it.
func (r Rules) left(p fieldpath.Path) bool {
	return r.These != nil && r.These.Has(p) || slices.ContainsFunc(r.Left, func(pattern Pattern) bool { return pattern.Matches(p) })
}

// watched reports whether a field is one in which additions count: labels,
// annotations, and whatever is not metadata and not status. The number of
// replicas and the time of a restart are set by hand and by machine in the
// ordinary course of things, so they never count.
func watched(p fieldpath.Path) bool {
	switch name(p, 0) {
	case "", "apiVersion", "kind", "status":
		return false
	case "metadata":
		if inside := name(p, 1); len(p) < 2 || inside != "labels" && inside != "annotations" {
			return false
		}
	case "spec":
		if len(p) == 2 && name(p, 1) == "replicas" {
			return false
		}
	}
	return name(p, len(p)-1) != restartedAnnotation
}

// name returns the field name of one element of a path, or nothing.
func name(p fieldpath.Path, i int) string {
	if i < 0 || i >= len(p) || p[i].FieldName == nil {
		return ""
	}
	return *p[i].FieldName
}

// Added returns the fields that former deployers and people own, that count,
// and that neither Nave owns nor wanted has: those which differ from Git by
// being there.
func (o Object) Added(wanted *unstructured.Unstructured, rules Rules) *fieldpath.Set {
	added := &fieldpath.Set{}
	for _, entry := range o.Entries {
		if !rules.former(entry) || entry.Manager == BeforeFirstApply {
			continue // what was there before is no addition
		}
		for p := range entry.Fields.Leaves().All() {
			if watched(p) && !rules.left(p) && name(p, len(p)-1) != lastAppliedAnnotation && !hasOrWithin(o.Ours, p) {
				if _, wants := lookup(wanted.Object, p); !wants {
					added.Insert(p)
				}
			}
		}
	}
	return added
}

// hasOrWithin reports whether a set has the path, something below it, or a
// field of which it is a part.
func hasOrWithin(set *fieldpath.Set, p fieldpath.Path) bool {
	for _, element := range p {
		if set == nil {
			return false
		}
		child, below := set.Children.Get(element)
		if set.Members.Has(element) && !below {
			return true // owned as a whole
		}
		if !below {
			return false
		}
		set = child
	}
	return true
}

// Foreign names, by hash, the fields of former deployers and people that count,
// so that a change of them is seen without reading the object.
func (o Object) Foreign(rules Rules) string {
	var parts [][]byte
	for _, entry := range o.Entries {
		if !rules.former(entry) {
			continue
		}
		counted := &fieldpath.Set{}
		for p := range entry.Fields.Leaves().All() {
			if watched(p) && name(p, len(p)-1) != lastAppliedAnnotation {
				counted.Insert(p)
			}
		}
		if data, err := counted.ToJSON(); err == nil && !counted.Empty() {
			parts = append(parts, []byte(entry.Manager), data)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return object.Digest(parts...)
}

// Applied names what Nave last applied as far as the metadata tells: which fields
// it owns, and since when they are as they are. The time tells an object that
// somebody brought back to an earlier state, as by restoring the cluster's
// database, where neither the fields nor the generation may be others.
func (o Object) Applied() string {
	hash := o.OursHash()
	for _, entry := range o.Entries {
		if entry.ours() && !entry.Time.IsZero() {
			hash += " " + entry.Time.UTC().Format(time.RFC3339)
		}
	}
	return hash
}

// OursHash names the fields that Nave owns. An object without managed fields
// shows nothing of them, so there every version counts as another.
func (o Object) OursHash() string {
	if !o.managed {
		return "version " + o.GetResourceVersion()
	}
	if o.Ours == nil {
		return ""
	}
	data, err := o.Ours.ToJSON()
	if err != nil {
		return ""
	}
	return object.Digest(data)
}

// Owns reports whether Nave owns the field with these names, from the root.
func (o Object) Owns(names ...string) bool {
	return o.Ours != nil && o.Ours.Has(fieldPath(names...))
}

// LastChange returns who, apart from Nave and status writers, changed the
// object last, and when.
func (o Object) LastChange() (manager string, at time.Time) {
	for _, entry := range o.Entries {
		if !entry.ours() && entry.Manager != HandoverManager && entry.Subresource != "status" && entry.Time.After(at) {
			manager, at = entry.Manager, entry.Time
		}
	}
	return manager, at
}

func fieldPath(names ...string) fieldpath.Path {
	p := make(fieldpath.Path, len(names))
	for i := range names {
		p[i] = fieldpath.FieldNameElement(names[i])
	}
	return p
}

// IsMark reports whether a label or annotation is Nave's own.
func IsMark(key string) bool {
	return key == object.AppLabel || key == object.IdentityAnnotation || key == object.AdoptedAnnotation
}
