package live

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"nave.dev/internal/object"
)

// Object is one as it is on its cluster.
type Object struct {
	Object map[string]any `json:"object"`
	// Veiled says why values are not shown, if so.
	Veiled string `json:"veiled,omitempty"`
}

// Object reads an object. What managers own of it is left out unless asked for.
func (c *Cluster) Object(ctx context.Context, ref Ref, managedFields bool) (Object, error) {
	u, err := c.get(ctx, ref)
	if err != nil {
		return Object{}, err
	}
	if !managedFields {
		u.SetManagedFields(nil)
	}
	if shown := object.Redact(u, nil); shown != u {
		return Object{Object: shown.Object, Veiled: "values of Secrets are not shown"}, nil
	}
	why, err := c.holdsSecrets(ctx, u)
	if err != nil {
		return Object{}, err
	}
	if why != "" {
		u = veiled(u)
	}
	return Object{Object: u.Object, Veiled: why}, nil
}

func (c *Cluster) get(ctx context.Context, ref Ref) (*unstructured.Unstructured, error) {
	if err := ref.valid(); err != nil {
		return nil, err
	}
	mapping, err := c.resolve(ref.Kind)
	if err != nil {
		return nil, err
	}
	u, err := c.of(mapping, ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	return u, explain(err)
}

// of reaches the objects of a kind, in a namespace if the kind has any.
func (c *Cluster) of(mapping *meta.RESTMapping, namespace string) dynamic.ResourceInterface {
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return c.dynamic.Resource(mapping.Resource)
	}
	return c.dynamic.Resource(mapping.Resource).Namespace(cmp.Or(namespace, metav1.NamespaceDefault))
}

// Event is one of Kubernetes, of an object.
type Event struct {
	Time    time.Time `json:"time,omitzero"` // when it was last seen
	Type    string    `json:"type"`
	Reason  string    `json:"reason"`
	Source  string    `json:"source,omitempty"`
	Count   int       `json:"count"`
	Message string    `json:"message"`
}

// maxEvents are read of an object.
const maxEvents = 500

// Events reads Kubernetes' events of an object, newest first. The object need not be
// there any more, if its kind is.
func (c *Cluster) Events(ctx context.Context, ref Ref) ([]Event, error) {
	if err := ref.valid(); err != nil {
		return nil, err
	}
	mapping, err := c.resolve(ref.Kind)
	if err != nil {
		return nil, err
	}
	about := fields.Set{"involvedObject.kind": mapping.GroupVersionKind.Kind, "involvedObject.name": ref.Name}
	namespace := metav1.NamespaceAll // where events of what has no namespace are is not said anywhere
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		namespace = cmp.Or(ref.Namespace, metav1.NamespaceDefault)
		about["involvedObject.namespace"] = namespace
	}
	list, err := c.core.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: about.String(), Limit: maxEvents})
	if err != nil {
		return nil, explain(err)
	}
	events := []Event{}
	for _, e := range list.Items {
		if group := mapping.GroupVersionKind.Group; e.InvolvedObject.APIVersion != "" && e.InvolvedObject.GroupVersionKind().Group != group {
			continue // another kind of the same name
		}
		events = append(events, event(e))
	}
	slices.SortStableFunc(events, func(a, b Event) int { return b.Time.Compare(a.Time) })
	return events, nil
}

func event(e corev1.Event) Event {
	out := Event{
		Time: e.LastTimestamp.Time, Type: e.Type, Reason: e.Reason, Count: max(int(e.Count), 1), Message: e.Message,
		Source: cmp.Or(e.Source.Component, e.ReportingController),
	}
	if e.Series != nil {
		out.Time, out.Count = e.Series.LastObservedTime.Time, int(e.Series.Count)
	}
	for _, other := range []time.Time{e.EventTime.Time, e.FirstTimestamp.Time, e.CreationTimestamp.Time} {
		if out.Time.IsZero() {
			out.Time = other
		}
	}
	return out
}

// maxOwners are looked at above an object.
const maxOwners = 4

// holdsSecrets says why values of Secrets may be in an object that is none: it, or
// what made it, came from such values.
func (c *Cluster) holdsSecrets(ctx context.Context, u *unstructured.Unstructured) (string, error) {
	if c.options.Assigned == nil {
		return "", nil
	}
	known := secretive(c.options.Assigned())
	if known.empty() {
		return "", nil
	}
	for range maxOwners {
		if why := known.why(u); why != "" {
			return why, nil
		}
		owner := metav1.GetControllerOf(u)
		if owner == nil {
			return "", nil
		}
		group := schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind)
		mapping, err := c.kinds.RESTMapping(group.GroupKind(), group.Version)
		if err != nil {
			return "", explain(err)
		}
		above, err := c.of(mapping, u.GetNamespace()).Get(ctx, owner.Name, metav1.GetOptions{})
		if err != nil {
			return fmt.Sprintf("its owner %s %s cannot be read, which may hold values of Secrets", owner.Kind, owner.Name), nil
		}
		u = above
	}
	return "", nil
}
