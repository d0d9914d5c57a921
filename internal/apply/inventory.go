package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

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

// presence is the names of a kind's objects at some time, marked or not.
type presence struct {
	at    time.Time
	names map[object.ID]bool
}

// presenceAge is for how long such a list serves. It only saves reads: an
// object that has appeared since is noticed by the answer to its apply.
const presenceAge = 30 * time.Second

// absent reports whether the object was not there when its kind was last listed.
func (c *Client) absent(id object.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.present[id.GroupKind()]
	return p != nil && c.now().Sub(p.at) < presenceAge && !p.names[id]
}

// appeared notes that an object was created.
func (c *Client) appeared(id object.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.present[id.GroupKind()]; p != nil {
		p.names[id] = true
	}
	if c.listing[id.GroupKind()] != nil {
		c.listing[id.GroupKind()][id] = true
	}
}

// look lists the names of a kind's objects, unless that was done lately. A kind
// that cannot be listed is looked at one object at a time instead.
func (c *Client) look(ctx context.Context, r cluster.Resource) {
	kind := schema.GroupKind{Group: r.Group, Kind: r.Kind}
	done, err := c.turns.Take(ctx, kind)
	if err != nil {
		return
	}
	defer done()
	began := c.now()
	c.mu.Lock()
	p := c.present[kind]
	if p != nil && began.Sub(p.at) < presenceAge && !began.Before(p.at) {
		c.mu.Unlock()
		return
	}
	c.listing[kind] = map[object.ID]bool{} // what is created before the list is read
	c.mu.Unlock()
	names := map[object.ID]bool{}
	err = c.cluster.Names(ctx, r, func(namespace, name string) {
		names[object.ID{Group: r.Group, Kind: r.Kind, Namespace: namespace, Name: name}] = true
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.Copy(names, c.listing[kind])
	delete(c.listing, kind)
	delete(c.present, kind)
	if err == nil {
		c.present[kind] = &presence{began, names}
	}
}
