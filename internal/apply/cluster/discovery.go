package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"nave.dev/internal/app"
)

// Resource is where and how an API server serves a kind in one version.
type Resource struct {
	schema.GroupVersionResource
	Kind       string
	Namespaced bool
}

// served is a kind as a cluster serves it.
type served struct {
	versions  map[string]Resource
	preferred string
}

// kinds is what a cluster serves, as far as is known. It is asked again when a
// kind is missing, though not for every object of a kind that is not there.
type kinds struct {
	connection *Connection

	mu       sync.Mutex
	asked    time.Time
	table    map[schema.GroupKind]served
	failed   map[string]error // groups that could not be asked
	versions []string         // group/version and group/version/Kind
}

// askAgain is how long a missing kind is believed to be missing.
const askAgain = 5 * time.Second

// UnknownKindError says that the cluster does not serve a kind.
type UnknownKindError struct {
	Kind    schema.GroupVersionKind
	Serves  []string // other versions of it that the cluster does serve
	Failing error    // why its group could not be asked
}

// Missing reports whether the cluster is known to have no such kind, in any
// version.
func (e *UnknownKindError) Missing() bool { return e.Failing == nil && len(e.Serves) == 0 }

// Error names the kind and says what is known of it.
func (e *UnknownKindError) Error() string {
	kind := schema.GroupKind{Group: e.Kind.Group, Kind: e.Kind.Kind}
	switch {
	case e.Failing != nil:
		return fmt.Sprintf("whether the cluster has the kind %s is not known: asking for its group %q: %v", kind, e.Kind.Group, e.Failing)
	case len(e.Serves) > 0:
		return fmt.Sprintf("the cluster does not serve %s in version %s, only in %s", kind, e.Kind.Version, strings.Join(e.Serves, ", "))
	}
	return fmt.Sprintf("the cluster has no kind %s; it waits for the definition", kind)
}

// Find returns where the kind is served; without a version, the server's
// preferred one. If it is not served, the error is an *UnknownKindError.
func (c *Connection) Find(ctx context.Context, kind schema.GroupVersionKind) (Resource, error) {
	k := &c.kinds
	k.mu.Lock()
	defer k.mu.Unlock()
	if r, ok := k.look(kind); ok {
		return r, nil
	}
	if now := k.connection.now(); k.table == nil || now.Sub(k.asked) >= askAgain {
		if err := k.ask(ctx); err != nil {
			return Resource{}, err
		}
	}
	if r, ok := k.look(kind); ok {
		return r, nil
	}
	unknown := &UnknownKindError{Kind: kind, Failing: k.failed[kind.Group]}
	if s, ok := k.table[kind.GroupKind()]; ok {
		unknown.Serves = slices.Sorted(maps.Keys(s.versions))
	}
	return Resource{}, unknown
}

func (k *kinds) look(kind schema.GroupVersionKind) (Resource, bool) {
	s, ok := k.table[kind.GroupKind()]
	if !ok {
		return Resource{}, false
	}
	version := kind.Version
	if version == "" {
		version = s.preferred
	}
	r, ok := s.versions[version]
	return r, ok
}

// ask reads what the cluster serves. Groups that fail keep what was known of them.
func (k *kinds) ask(ctx context.Context) error {
	var groups []*metav1.APIGroup
	var lists []*metav1.APIResourceList
	failed := map[string]error{}
	err := k.connection.discover(ctx, func(client *discovery.DiscoveryClient) error {
		var partly *discovery.ErrGroupDiscoveryFailed
		var err error
		groups, lists, err = client.ServerGroupsAndResources()
		if errors.As(err, &partly) {
			for version, cause := range partly.Groups {
				failed[version.Group] = cause
			}
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("discovering what the cluster serves: %w", err)
	}
	table := map[schema.GroupKind]served{}
	for kind, s := range k.table {
		if failed[kind.Group] != nil {
			table[kind] = s
		}
	}
	preferred := map[string]string{}
	for _, group := range groups {
		preferred[group.Name] = group.PreferredVersion.Version
	}
	k.versions = nil
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue // no group-version that an object could name
		}
		k.versions = append(k.versions, list.GroupVersion)
		for _, r := range list.APIResources {
			if strings.Contains(r.Name, "/") {
				continue
			}
			k.versions = append(k.versions, list.GroupVersion+"/"+r.Kind)
			add(table, Resource{version.WithResource(r.Name), r.Kind, r.Namespaced}, preferred[version.Group])
		}
	}
	slices.Sort(k.versions)
	k.table, k.failed, k.asked = table, failed, k.connection.now()
	return nil
}

// add enters one version of a kind. The first version that is listed stands in
// for a preferred one that does not have the kind.
func add(table map[schema.GroupKind]served, r Resource, preferred string) {
	kind := schema.GroupKind{Group: r.Group, Kind: r.Kind}
	s, ok := table[kind]
	if !ok {
		s = served{versions: map[string]Resource{}, preferred: r.Version}
	}
	if r.Version == preferred {
		s.preferred = preferred
	}
	s.versions[r.Version] = r
	table[kind] = s
}

// Learn enters the kind that an established definition makes, so that its
// objects need not wait for discovery.
func (c *Connection) Learn(crd *unstructured.Unstructured) {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	plural, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "plural")
	scope, _, _ := unstructured.NestedString(crd.Object, "spec", "scope")
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	k := &c.kinds
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.table == nil {
		return // it is asked for anyway
	}
	delete(k.table, schema.GroupKind{Group: group, Kind: kind})
	for _, v := range versions {
		version, _ := v.(map[string]any)
		name, _ := version["name"].(string)
		if on, _ := version["served"].(bool); on && name != "" {
			r := Resource{schema.GroupVersionResource{Group: group, Version: name, Resource: plural}, kind, scope == "Namespaced"}
			add(k.table, r, "")
		}
	}
}

// Forget makes the next question ask the server again, which refused what
// discovery said.
func (c *Connection) Forget() {
	k := &c.kinds
	k.mu.Lock()
	defer k.mu.Unlock()
	k.table, k.asked = nil, time.Time{}
}

// discover runs a request of the discovery client, which knows no contexts.
func (c *Connection) discover(ctx context.Context, ask func(*discovery.DiscoveryClient) error) error {
	return c.call(ctx, func(ctx context.Context) error {
		bound := &http.Client{Transport: boundTransport{ctx, c.http.Transport}}
		client, err := discovery.NewDiscoveryClientForConfigAndClient(c.config, bound)
		if err != nil {
			return err
		}
		return ask(client)
	})
}

// Known returns the kind in the server's preferred version if it is served,
// going by what was last discovered.
func (c *Connection) Known(ctx context.Context, kind schema.GroupKind) (Resource, bool, error) {
	k := &c.kinds
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.table == nil {
		if err := k.ask(ctx); err != nil {
			return Resource{}, false, err
		}
	}
	r, ok := k.look(kind.WithVersion(""))
	return r, ok, nil
}

// boundTransport ends the requests of one call of a client that takes no
// context when that call's context ends.
type boundTransport struct {
	ctx  context.Context
	next http.RoundTripper
}

// RoundTrip sends a request under the call's context.
func (t boundTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.next.RoundTrip(r.WithContext(t.ctx))
}

// Facts returns what the cluster says of itself that rendering may need.
func (c *Connection) Facts(ctx context.Context) (app.Facts, error) {
	var facts app.Facts
	err := c.discover(ctx, func(client *discovery.DiscoveryClient) error {
		info, err := client.ServerVersion()
		if err == nil {
			facts.KubernetesVersion = info.GitVersion
		}
		return err
	})
	if err != nil {
		return facts, fmt.Errorf("asking for the cluster's version: %w", err)
	}
	c.kinds.mu.Lock()
	defer c.kinds.mu.Unlock()
	if err := c.kinds.ask(ctx); err != nil {
		return facts, err
	}
	facts.APIVersions = slices.Clone(c.kinds.versions)
	facts.Scopes, facts.Resources = map[string]bool{}, map[string]string{}
	for kind, s := range c.kinds.table {
		at := s.versions[s.preferred]
		facts.Scopes[kind.String()] = at.Namespaced
		if usual := (app.Facts{}).Resource(kind); at.Resource != usual {
			facts.Resources[kind.String()] = at.Resource
		}
	}
	return facts, nil
}
