// Package object is the vocabulary for single Kubernetes objects: their
// identity, their canonical form and digest, the order in which they are
// applied, the marks by which Nave knows its own, and what of them may be shown.
// It is pure: it reads no cluster and no file.
package object

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ID identifies an object within a cluster, whatever version it is written in.
// Namespace is empty for an object of a cluster-wide kind.
type ID struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// Of returns the identity that the object states.
func Of(u *unstructured.Unstructured) ID {
	gvk := u.GroupVersionKind()
	return ID{Group: gvk.Group, Kind: gvk.Kind, Namespace: u.GetNamespace(), Name: u.GetName()}
}

// GroupKind returns the object's kind.
func (id ID) GroupKind() schema.GroupKind { return schema.GroupKind{Group: id.Group, Kind: id.Kind} }

// String returns the identity as "apps/Deployment shop/web", without the parts
// that are empty: "ConfigMap shop/settings", "Namespace shop".
func (id ID) String() string {
	var b strings.Builder
	if id.Group != "" {
		b.WriteString(id.Group + "/")
	}
	b.WriteString(id.Kind + " ")
	if id.Namespace != "" {
		b.WriteString(id.Namespace + "/")
	}
	b.WriteString(id.Name)
	return b.String()
}

// Parse reads what String wrote. A name may hold spaces, as those of roles do.
func Parse(text string) (ID, error) {
	var id ID
	var ok bool
	id.Kind, id.Name, ok = strings.Cut(text, " ")
	if group, kind, grouped := strings.Cut(id.Kind, "/"); grouped {
		id.Group, id.Kind = group, kind
		ok = ok && group != ""
	}
	if namespace, name, namespaced := strings.Cut(id.Name, "/"); namespaced {
		id.Namespace, id.Name = namespace, name
		ok = ok && namespace != ""
	}
	if !ok || id.Kind == "" || id.Name == "" || strings.Contains(id.Kind+id.Name, "/") {
		return ID{}, fmt.Errorf("%q is no object: want GROUP/KIND NAMESPACE/NAME", text)
	}
	return id, nil
}

// Compare orders identities by namespace, group, kind and name, for people to read.
func Compare(a, b ID) int {
	return cmp.Or(
		cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Group, b.Group),
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name),
	)
}

// serverFields are the parts of metadata that only an API server writes. A
// manifest that was read back from a cluster states them; they say nothing of
// what is wanted.
var serverFields = []string{
	"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation",
	"managedFields", "resourceVersion", "selfLink", "uid",
}

// Clean returns a copy of a desired object without status and without what only
// an API server writes.
func Clean(u *unstructured.Unstructured) *unstructured.Unstructured {
	clean := u.DeepCopy()
	delete(clean.Object, "status")
	if metadata, ok := clean.Object["metadata"].(map[string]any); ok {
		for _, field := range serverFields {
			delete(metadata, field)
		}
		for _, field := range []string{"labels", "annotations"} {
			if entries, ok := metadata[field].(map[string]any); metadata[field] == nil || ok && len(entries) == 0 {
				delete(metadata, field)
			}
		}
	}
	return clean
}

// Canonical returns the one encoding of an object: JSON with sorted keys and no
// insignificant space. Equal objects have equal bytes.
func Canonical(u *unstructured.Unstructured) ([]byte, error) {
	data, err := json.Marshal(u.Object)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", Of(u), err)
	}
	return data, nil
}

// Digest names content: the first 16 bytes of its SHA-256, in hexadecimal.
func Digest(data ...[]byte) string {
	hash := sha256.New()
	for _, part := range data {
		fmt.Fprintf(hash, "%d:", len(part)) // parts cannot run into each other
		hash.Write(part)
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}
