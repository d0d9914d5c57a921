package object

import (
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Marks are what Nave writes on an object that it applies, in the same request,
// as the inventory of what it manages (compare KEP-3659, ApplySet).
const (
	// AppLabel names the app; watches are filtered by it on the server.
	AppLabel = "nave.dev/app"
	// IdentityAnnotation repeats fleet, app and the object's own identity, so
	// that a mark copied with an object's labels to another one does not count.
	IdentityAnnotation = "nave.dev/identity"
	// AdoptedAnnotation marks an object that existed, unmarked, before its
	// app's first apply. Such an object is pruned only after confirmation.
	AdoptedAnnotation = "nave.dev/adopted"
	// FieldManager is the one under which Nave applies.
	FieldManager = "nave"
)

// Marks of hooks, which are no part of the inventory: nothing that looks for what
// an app has, or had, finds them.
const (
	// HookLabel names the app whose hook it is; watches are filtered by it.
	HookLabel = "nave.dev/hook"
	// HookAnnotation repeats fleet, app, the run of hooks and the object's own
	// identity.
	HookAnnotation = "nave.dev/hook-run"
	// HookFinalizer keeps a hook until its result is in the cluster record.
	HookFinalizer = "nave.dev/hook"
)

// Owner says to whom an object belongs: the app, of which fleet. Its zero value
// is nobody.
type Owner struct {
	Fleet string
	App   string
}

// digested is the form of the labels that Label makes up. An app whose own name
// has it gets a made-up one too, so that no two apps share a label.
var digested = regexp.MustCompile(`\.[0-9a-f]{16}$`)

// Label returns the value of AppLabel: the app's name where it fits a label,
// otherwise its beginning and a digest of the whole.
func (o Owner) Label() string {
	if len(validation.IsValidLabelValue(o.App)) == 0 && !digested.MatchString(o.App) {
		return o.App
	}
	fit := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, o.App)
	if len(fit) > 44 {
		fit = fit[:44]
	}
	if fit = strings.Trim(fit, "-."); fit == "" {
		fit = "app" // a label begins with a letter or a digit
	}
	return fit + "." + Digest([]byte(o.App))[:16]
}

// identity returns the value of IdentityAnnotation.
func (o Owner) identity(id ID) string { return o.Fleet + "|" + o.App + "|" + id.String() }

// Mark writes the owner's marks on an object. The identity is given apart from
// the object since the cluster's answer decides whether it has a namespace.
func Mark(u *unstructured.Unstructured, owner Owner, id ID, adopted bool) {
	labels := u.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[AppLabel] = owner.Label()
	u.SetLabels(labels)
	annotations := u.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[IdentityAnnotation] = owner.identity(id)
	if adopted {
		annotations[AdoptedAnnotation] = "true"
	} else {
		delete(annotations, AdoptedAnnotation)
	}
	u.SetAnnotations(annotations)
}

// OwnerOf reads the marks on a live object. They count only if they name that
// very object and Nave's own field manager set them: a mark that somebody
// copied or wrote by hand makes nobody the owner.
func OwnerOf(u *unstructured.Unstructured) (owner Owner, adopted, ok bool) {
	annotations := u.GetAnnotations()
	parts := strings.SplitN(annotations[IdentityAnnotation], "|", 3)
	if len(parts) != 3 || parts[2] != Of(u).String() {
		return Owner{}, false, false
	}
	owner = Owner{Fleet: parts[0], App: parts[1]}
	if owner.App == "" || u.GetLabels()[AppLabel] != owner.Label() || !weApplied(u, IdentityAnnotation) {
		return Owner{}, false, false
	}
	return owner, annotations[AdoptedAnnotation] == "true", true
}

// MarkHook writes the marks of a hook and its finalizer on an object. The run
// names one creation of it.
func MarkHook(u *unstructured.Unstructured, owner Owner, run string, id ID) {
	labels, annotations := u.GetLabels(), u.GetAnnotations()
	if labels == nil {
		labels = map[string]string{}
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	delete(labels, AppLabel)
	labels[HookLabel] = owner.Label()
	annotations[HookAnnotation] = owner.Fleet + "|" + owner.App + "|" + run + "|" + id.String()
	u.SetLabels(labels)
	u.SetAnnotations(annotations)
	if !slices.Contains(u.GetFinalizers(), HookFinalizer) {
		u.SetFinalizers(append(u.GetFinalizers(), HookFinalizer))
	}
}

// HookOf reads the marks of a hook on a live object. As those of the inventory
// they count only on that very object and where Nave's own field manager set them.
func HookOf(u *unstructured.Unstructured) (owner Owner, run string, ok bool) {
	parts := strings.SplitN(u.GetAnnotations()[HookAnnotation], "|", 4)
	if len(parts) != 4 || parts[3] != Of(u).String() {
		return Owner{}, "", false
	}
	owner = Owner{Fleet: parts[0], App: parts[1]}
	if owner.App == "" || u.GetLabels()[HookLabel] != owner.Label() || !weApplied(u, HookAnnotation) {
		return Owner{}, "", false
	}
	return owner, parts[2], true
}

// ManagedFields returns the entries of an object's managed fields as a decoder of
// JSON left them, none where it has no list of them. They are not copied: typed ones
// would have each set of fields encoded and parsed once more.
func ManagedFields(u *unstructured.Unstructured) []any {
	all, _, _ := unstructured.NestedFieldNoCopy(u.Object, "metadata", "managedFields")
	list, _ := all.([]any)
	return list
}

// weApplied looks for an annotation among the fields that Nave's manager applied.
func weApplied(u *unstructured.Unstructured, annotation string) bool {
	for _, raw := range ManagedFields(u) {
		entry, _ := raw.(map[string]any)
		if entry["manager"] != FieldManager || entry["operation"] != "Apply" || entry["subresource"] != nil {
			continue
		}
		if _, ours, _ := unstructured.NestedFieldNoCopy(entry, "fieldsV1", "f:metadata", "f:annotations", "f:"+annotation); ours {
			return true
		}
	}
	return false
}
