package apply

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"

	"nave.dev/internal/apply/autoscaler"
	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/object"
)

// fill makes the items of objects, with variables replaced.
func (r *run) fill(ctx context.Context, objects []*unstructured.Unstructured) error {
	var replace Replace
	if r.target.Variables != nil {
		var err error
		if replace, r.blocked, err = r.target.Variables(ctx); err != nil {
			return fmt.Errorf("reading the variables of the app %q: %w", r.target.App, err)
		}
		if r.blocked != "" {
			return nil
		}
	}
	sources := make([]*unstructured.Unstructured, len(objects))
	for i, source := range objects {
		it := &item{source: source, id: object.Of(source)}
		if replace != nil && object.Deferred(source) {
			var replaced *unstructured.Unstructured
			if replaced, it.secret, it.refused = replace(source); it.refused == nil {
				it.source = replaced
			}
		}
		it.wave, sources[i] = object.Wave(it.source), it.source
		r.items = append(r.items, it)
	}
	r.scaled = autoscaler.Among(sources)
	return nil
}

// userOf returns the user to impersonate for a service account, as NAMESPACE/NAME.
func userOf(account string) (string, error) {
	if account == "" {
		return "", nil
	}
	namespace, name, ok := strings.Cut(account, "/")
	if !ok || namespace == "" || name == "" {
		return "", fmt.Errorf("%q: want NAMESPACE/NAME", account)
	}
	return "system:serviceaccount:" + namespace + ":" + name, nil
}

// Read returns an object as a service account, as NAMESPACE/NAME, may read it; without
// one with the client's own rights. One that is not there is nil.
func (c *Client) Read(ctx context.Context, id object.ID, account string) (*unstructured.Unstructured, error) {
	user, err := userOf(account)
	if err != nil {
		return nil, err
	}
	resource, err := c.cluster.Find(ctx, id.GroupKind().WithVersion(""))
	if err != nil {
		return nil, err
	}
	u, err := c.cluster.GetAs(ctx, resource, id, user)
	if cluster.Missing(err, id) {
		return nil, nil
	}
	return u, err
}

// WatchObject is Watch of one object, by its metadata.
func (c *Client) WatchObject(ctx context.Context, id object.ID, event func(Event)) error {
	options := metav1.ListOptions{FieldSelector: fields.Set{"metadata.namespace": id.Namespace, "metadata.name": id.Name}.String()}
	return c.follow(ctx, id.GroupKind(), options, cluster.Metadata, event)
}
