package apply

import (
	"context"
	"errors"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/object"
)

// Inventory lists the objects that carry marks of this fleet, by app. A kind
// that the cluster does not serve has none.
func (c *Client) Inventory(ctx context.Context, kinds []schema.GroupKind) (map[string][]Tracked, error) {
	return c.marked(ctx, kinds, object.AppLabel)
}

// Orphans lists the objects of apps that are not in the cluster's assignment any
// more. Nothing is written: they stay as they are until an app adopts them or
// somebody removes them.
func (c *Client) Orphans(ctx context.Context, kinds []schema.GroupKind, living func(app string) bool) (map[string][]Tracked, error) {
	found, err := c.Inventory(ctx, kinds)
	if err != nil {
		return nil, err
	}
	for app := range found {
		if living(app) {
			delete(found, app)
		}
	}
	return found, nil
}

// marked lists the objects of this fleet that match a label selector, by app.
func (c *Client) marked(ctx context.Context, kinds []schema.GroupKind, selector string) (map[string][]Tracked, error) {
	var mu sync.Mutex
	found := map[string][]Tracked{}
	var failures []error
	var group sync.WaitGroup
	for _, kind := range kinds {
		group.Add(1)
		go func() {
			defer group.Done()
			err := c.listMetadata(ctx, kind, metav1.ListOptions{LabelSelector: selector}, func(u *unstructured.Unstructured) {
				t := c.track(u)
				if t.Owner.Fleet == c.options.Fleet && t.Owner.App != "" {
					mu.Lock()
					found[t.Owner.App] = append(found[t.Owner.App], t)
					mu.Unlock()
				}
			})
			if err != nil {
				mu.Lock()
				failures = append(failures, fmt.Errorf("listing objects of kind %s: %w", kind, err))
				mu.Unlock()
			}
		}()
	}
	group.Wait()
	return found, errors.Join(failures...)
}

// listMetadata lists the metadata of a kind's objects. A kind that is not served
// has none.
func (c *Client) listMetadata(ctx context.Context, kind schema.GroupKind, options metav1.ListOptions, each func(*unstructured.Unstructured)) error {
	r, err := c.cluster.Find(ctx, kind.WithVersion(""))
	var unknown *cluster.UnknownKindError
	if errors.As(err, &unknown) && unknown.Missing() {
		return nil
	}
	if err == nil {
		_, err = c.cluster.List(ctx, r, cluster.Metadata, options, each)
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
