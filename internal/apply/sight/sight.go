// Package sight has the types of what is seen of objects on a cluster: an Event of a watch,
// what its metadata shows, and the Baseline that it is held against. It reads nothing.
package sight

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/apply/prune"
	"nave.dev/internal/object"
)

// EventType says what an event is about.
type EventType string

// The types of events.
const (
	// Added: it was there when the watch began, appeared, or was given the label.
	Added EventType = "added"
	// Modified: it changed, or may have changed while the watch was interrupted.
	Modified EventType = "modified"
	// Deleted: it is gone, or only its label is.
	Deleted EventType = "deleted"
	// Listed: all that is there has been told; what was told before and is gone
	// has been told as Deleted. Only the kind of the event is set.
	Listed EventType = "listed"
	// Interrupted: the cluster cannot be watched for the moment; Err says why.
	Interrupted EventType = "interrupted"
)

// Event is one thing that happened to an object.
type Event struct {
	Type EventType
	Kind schema.GroupKind
	Tracked
	Managers []Manager
	// Object is the object, or its metadata alone unless the watch is of whole
	// objects. Values of Secrets are redacted.
	Object *unstructured.Unstructured
	Err    error
}

// Manager is one who wrote fields of an object, and when.
type Manager struct {
	Name        string
	Operation   string
	Subresource string
	Time        time.Time
}

// Baseline is an object as the API server returned it after it was applied, as
// far as a change of it matters. It is advisory: without one the object is read.
type Baseline struct {
	UID        types.UID `json:"uid"`
	Generation int64     `json:"generation,omitempty"`
	// Fields names the fields that Nave owns, by hash, and when it last changed any.
	Fields string `json:"fields"`
	// Foreign is the hash of fields that people and former deployers own.
	Foreign string `json:"foreign,omitempty"`
	// Desired is the digest of what was applied.
	Desired string `json:"desired"`
	Adopted bool   `json:"adopted,omitempty"`
	// Replicas says that Nave owns spec.replicas.
	Replicas bool `json:"replicas,omitempty"`
}

// Tracked is a marked object as its metadata shows it.
type Tracked struct {
	ID         object.ID
	UID        types.UID
	Owner      object.Owner // zero if the marks do not count
	Adopted    bool
	Kept       string // why it is never pruned; empty if it may be
	Confirm    bool   // its author wants its deletion confirmed
	Extraneous bool   // its author does not mind if it is there without Git
	Removal    prune.Removal
	Generation int64
	Version    string // the resource version
	Fields     string // as in Baseline
	Foreign    string
	Deleting   bool
}

// Differs reports whether an event shows that the object may no longer be what
// the baseline says, so that it has to be read.
func (b Baseline) Differs(e Event) bool {
	switch e.Type {
	case Added, Modified:
		return e.UID != b.UID || e.Generation != b.Generation || e.Fields != b.Fields || e.Foreign != b.Foreign ||
			e.Owner == object.Owner{} || e.Deleting
	case Deleted:
		return true
	}
	return false
}
