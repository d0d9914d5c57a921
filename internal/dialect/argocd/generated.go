package argocd

import (
	"fmt"
	"slices"
	"strings"

	"nave.dev/internal/app/asking"
	"nave.dev/internal/dialect/argocd/applicationset"
	"nave.dev/internal/object"
)

// generated returns the Applications of an ApplicationSet, and why there may be
// more, if so. They have its wave.
func (q *question) generated(o asking.Object) ([]*wanted, error) {
	place := describePlace("ApplicationSet", o.Manifest.GetName(), o.Place)
	set, err := applicationset.Generate(o.Manifest.Object, applicationset.Inputs{Clusters: q.clusters(), Files: q.Files, Budget: q.budget})
	for _, text := range set.Warnings {
		q.warn(o.App, place, text)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", place, err)
	}
	all := make([]*wanted, 0, len(set.Applications))
	for _, application := range set.Applications {
		w := newWanted(application, o.App, place, q.Namespace)
		if _, stated := w.Metadata.Annotations[annotationPrefix+"sync-wave"]; stated {
			w.warnings = append(w.warnings, "metadata.annotations["+annotationPrefix+"sync-wave]: Applications of an ApplicationSet have its wave")
		}
		w.looked = set.Repositories
		w.keep, w.wave, w.id = set.Keep, object.Wave(o.Manifest), idIn(o.Manifest, q.Namespace)
		all = append(all, w)
	}
	return all, err
}

// clusters are those that a generator knows: in the context of a cluster that one,
// as Argo CD calls its own; in the context of the fleet those that the Delivery
// selects, by the names that Argo CD has for them.
func (q *question) clusters() []applicationset.Cluster {
	var out []applicationset.Cluster
	for _, m := range q.Members {
		c := applicationset.Cluster{Labels: m.Labels, Annotations: m.Annotations}
		if q.Cluster != "" {
			if m.Name == q.Cluster {
				c.Name, c.Server = inCluster, inClusterServer
				out = append(out, c)
			}
			continue
		}
		if !m.Selected {
			continue
		}
		for _, alias := range m.Aliases {
			if url := strings.Contains(alias, "://"); url && c.Server == "" {
				c.Server = alias
			} else if !url && c.Name == "" {
				c.Name = alias
			}
		}
		if c.Name == "" {
			c.Name = m.Name
		}
		if c.Server == "" {
			c.Server = m.Name // which a destination's server may be as well
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b applicationset.Cluster) int { return strings.Compare(a.Name, b.Name) })
	return out
}
