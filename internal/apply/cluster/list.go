package cluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// pageSize is how many objects one answer to a list holds.
const pageSize = 500

// Depth says how much of an object is read.
type Depth bool

// The two depths.
const (
	Metadata Depth = false // identity and metadata alone
	Whole    Depth = true
)

// List reads the objects of a kind in pages, each no longer than it is looked
// at, and returns the version of the list, from which it can be watched. Where it may not
// list the whole cluster it lists the namespaces that Options.Narrow has.
func (c *Connection) List(ctx context.Context, r Resource, depth Depth, options metav1.ListOptions, each func(*unstructured.Unstructured)) (version string, err error) {
	version, err = c.list(ctx, r, "", depth, options, each)
	if !apierrors.IsForbidden(err) {
		return version, err
	}
	for i, namespace := range c.narrowed(r) {
		from, failed := c.list(ctx, r, namespace, depth, options, each)
		if failed != nil {
			return "", failed
		}
		if i == 0 {
			version, err = from, nil // of all namespaces, this was the first to be read
		}
	}
	return version, err
}

// list is List in one namespace, or with an empty one in all.
func (c *Connection) list(ctx context.Context, r Resource, namespace string, depth Depth, options metav1.ListOptions, each func(*unstructured.Unstructured)) (version string, err error) {
	options.Limit = pageSize
	for {
		var found []unstructured.Unstructured
		var next string
		err := c.call(ctx, func(ctx context.Context) (err error) {
			found, next, version, err = c.page(ctx, r, namespace, depth, options)
			return err
		})
		if err != nil {
			return "", err
		}
		for i := range found {
			each(&found[i])
		}
		if next == "" {
			return version, nil
		}
		options.Continue = next
	}
}

// Names reads the namespaces and names of a kind's objects.
func (c *Connection) Names(ctx context.Context, r Resource, each func(namespace, name string)) error {
	options := metav1.ListOptions{Limit: pageSize}
	for {
		var list *metav1.PartialObjectMetadataList
		err := c.call(ctx, func(ctx context.Context) (err error) {
			list, err = c.metadata.Resource(r.GroupVersionResource).List(ctx, options)
			return err
		})
		if err != nil {
			return err
		}
		for i := range list.Items {
			each(list.Items[i].Namespace, list.Items[i].Name)
		}
		if options.Continue = list.Continue; options.Continue == "" {
			return nil
		}
	}
}

// page reads one page.
func (c *Connection) page(ctx context.Context, r Resource, namespace string, depth Depth, options metav1.ListOptions) (found []unstructured.Unstructured, next, version string, err error) {
	if depth == Whole {
		list, err := c.dynamic.Resource(r.GroupVersionResource).Namespace(namespace).List(ctx, options)
		if err != nil {
			return nil, "", "", err
		}
		return list.Items, list.GetContinue(), list.GetResourceVersion(), nil
	}
	list, err := c.metadata.Resource(r.GroupVersionResource).Namespace(namespace).List(ctx, options)
	if err != nil {
		return nil, "", "", err
	}
	for i := range list.Items {
		u, err := asObject(&list.Items[i], r)
		if err != nil {
			return nil, "", "", err
		}
		found = append(found, *u)
	}
	return found, list.Continue, list.ResourceVersion, nil
}

// Object returns the object of a watch's event, nil if there is none.
func Object(e watch.Event, r Resource) *unstructured.Unstructured {
	switch o := e.Object.(type) {
	case *unstructured.Unstructured:
		return o
	case *metav1.PartialObjectMetadata:
		if u, err := asObject(o, r); err == nil {
			return u
		}
	}
	return nil
}

// asObject returns metadata as an object, with the kind that it belongs to.
func asObject(m *metav1.PartialObjectMetadata, r Resource) (*unstructured.Unstructured, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(m)
	if err != nil {
		return nil, fmt.Errorf("reading the metadata of %q: %w", m.Name, err)
	}
	u := &unstructured.Unstructured{Object: fields}
	u.SetGroupVersionKind(r.GroupVersion().WithKind(r.Kind))
	return u, nil
}
