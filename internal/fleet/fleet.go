// Package fleet reads the documents of a fleet repository and says which Delivery applies to which cluster, with which
// path, revision and variables. The main type is Fleet, which Load makes of a file system: everything that is wrong is
// reported at once, and what is in error is kept apart from what is absent, since absence lets things be removed. The
// package is pure: it knows no Git (the caller resolves revisions), renders nothing and asks no cluster.
//
// Documents of nave.dev are looked for in fleet.yaml and, at any depth, under clusters/ and deliveries/, in files whose
// names end in .yaml or .yml and do not begin with a dot. Any of these places may hold any kind, and several documents
// a file. Documents of other API groups are left alone, since other tools keep theirs under the same directories; what
// is no YAML at all is an error, because it may have been a document.
package fleet

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/strictyaml"
)

// Fleet is what the documents of a repository say. It is never changed after Load and safe for concurrent use.
type Fleet struct {
	// Name of the fleet; empty if there is no telling.
	Name string
	// Sources that can be used, in the order of the document.
	Sources []v1alpha1.Source
	// URLs of the fleet repository, beside the one by which it was reached.
	URLs []string
	// Verify is whose signature commits of the fleet repository must bear, or nil.
	Verify *v1alpha1.Verification
	// Access is who may do what on the hub.
	Access []v1alpha1.Access
	// Interval is how often remotes are asked for new commits.
	Interval time.Duration
	// Members are the clusters, by name, those in error among them.
	Members []Member
	// Warnings are what is probably not meant, but does no harm.
	Warnings strictyaml.Problems
	// Incomplete says why there may be clusters and Deliveries beside those that are known, if so. Then nothing may be
	// taken for removed.
	Incomplete error

	defaultDialect v1alpha1.Dialect

	usable     bool // what the Fleet document says can be relied on
	clusters   map[string]*cluster
	deliveries map[string]*delivery
	names      []string // of deliveries, sorted
	sources    map[string]*source
}

// Member is a cluster of the fleet.
type Member struct {
	Name string
	// Labels are those of the document and v1alpha1.ClusterLabel.
	Labels map[string]string
	v1alpha1.ClusterSpec
	// Err says why the document cannot be used, if so. Then the rest is not to be relied on, the cluster keeps what it
	// was last given, and its apps are not known.
	Err error
}

// Deliveries returns the names of all Deliveries, sorted, those in error among them.
func (f *Fleet) Deliveries() []string { return slices.Clone(f.names) }

// member returns the named cluster, or an error that says which name may be meant.
func (f *Fleet) member(name string) (*cluster, error) {
	c, ok := f.clusters[name]
	switch {
	case ok:
		return c, nil
	case f.Incomplete != nil:
		return nil, fmt.Errorf("no cluster %q is known: %w", name, f.Incomplete)
	}
	if near := strictyaml.Nearest(name, slices.Sorted(maps.Keys(f.clusters))); near != "" {
		return nil, fmt.Errorf("no cluster %q in the fleet, did you mean %q?", name, near)
	}
	return nil, fmt.Errorf("no cluster %q in the fleet", name)
}

// A cluster is a Cluster document, or several that claim one name.
type cluster struct {
	v1alpha1.Cluster
	doc      *strictyaml.Document
	problems strictyaml.Problems // why it cannot be used
	labels   map[string]string   // effective
}

func (c *cluster) member() Member {
	return Member{Name: c.Metadata.Name, Labels: c.labels, ClusterSpec: c.Spec, Err: c.problems.Err()}
}

func (c *cluster) context() v1alpha1.Context {
	return v1alpha1.Context{Name: c.Metadata.Name, Labels: c.labels, Variables: c.Spec.Variables}
}

// A delivery is a Delivery document, or several that claim one name.
type delivery struct {
	v1alpha1.Delivery
	doc      *strictyaml.Document
	problems strictyaml.Problems // why it cannot be used anywhere
	// anywhere means that the clusters of a document in error cannot be told, so that it counts as on all of them.
	anywhere bool
	// on has the clusters where the app is, and there what keeps it from being used.
	on map[string]strictyaml.Problems
}

// isOn reports whether the app is on the named cluster, usable or not.
func (d *delivery) isOn(cluster string) bool {
	_, selected := d.on[cluster]
	return selected || d.anywhere
}

// failure says why the app cannot be told on the named cluster, if so.
func (d *delivery) failure(cluster string) error {
	return slices.Concat(d.problems, d.on[cluster]).Err()
}

// A source is one of the Fleet's.
type source struct {
	v1alpha1.Source
	broken bool
}

// problem returns a finding at its place in the document.
func problem(doc *strictyaml.Document, f v1alpha1.Finding) strictyaml.Problem {
	return doc.Problem(f.Field, "%s", f.Message).WithHint("%s", f.Hint)
}

// place returns where a document's field is, for problems elsewhere that refer to it.
func place(doc *strictyaml.Document, field string) string {
	line, _ := doc.Position(field)
	return fmt.Sprintf("%s:%d", doc.File, line)
}

// touches reports whether any problem is about the field, something above it or something below it.
func touches(problems strictyaml.Problems, field string) bool {
	return slices.ContainsFunc(problems, func(p strictyaml.Problem) bool {
		return p.Field == "" || below(p.Field, field) || below(field, p.Field)
	})
}

// below reports whether a field is another one or inside it.
func below(field, above string) bool {
	rest, ok := strings.CutPrefix(field, above)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// errUnusable is the Incomplete of a Fleet some of whose documents are not understood.
func errUnusable(files []string) error {
	files = slices.Compact(slices.Sorted(slices.Values(files)))
	return errors.New("not all documents can be used: see " + strings.Join(files, ", "))
}
