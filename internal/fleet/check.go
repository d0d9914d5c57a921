package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/app"
	"nave.dev/internal/strictyaml"
)

// checkClusters gives the clusters their effective labels, finds names that two of them claim, and lists the members.
func (l *loader) checkClusters() {
	f := l.fleet
	claims := map[string]*cluster{} // by name or alias
	for _, name := range slices.Sorted(maps.Keys(f.clusters)) {
		c := f.clusters[name]
		claims[name] = c
		c.labels = maps.Clone(c.Metadata.Labels)
		if c.labels == nil {
			c.labels = map[string]string{}
		}
		c.labels[v1alpha1.ClusterLabel] = name
	}
	for _, name := range slices.Sorted(maps.Keys(f.clusters)) {
		c := f.clusters[name]
		for i, alias := range c.Spec.Aliases {
			other, taken := claims[alias]
			if taken && other != c {
				p := c.doc.Problem(fmt.Sprintf("spec.aliases[%d]", i), "%q means cluster %q at %s already",
					alias, other.Metadata.Name, place(other.doc, "metadata.name")).WithHint("remove one of them")
				c.problems = append(c.problems, p)
				l.problems = append(l.problems, p)
				continue
			}
			claims[alias] = c
		}
		f.Members = append(f.Members, c.member())
	}
}

// checkDeliveries finds what only shows beside other documents, and on which clusters each Delivery is.
func (l *loader) checkDeliveries() {
	f := l.fleet
	f.names = slices.Sorted(maps.Keys(f.deliveries))
	for _, name := range f.names {
		d := f.deliveries[name]
		d.on = map[string]strictyaml.Problems{}
		if !d.anywhere {
			l.place(d)
		}
		if len(d.problems) > 0 {
			continue
		}
		l.checkSource(d)
		l.checkNamespace(d)
		l.checkDependencies(d)
	}
	l.checkCircles()
	for _, name := range f.names {
		if d := f.deliveries[name]; len(d.problems) == 0 {
			l.checkOnClusters(d)
		}
	}
}

// fail reports why a Delivery cannot be used.
func (l *loader) fail(d *delivery, field, hint, format string, args ...any) {
	p := d.doc.Problem(field, format, args...).WithHint("%s", hint)
	d.problems = append(d.problems, p)
	l.problems = append(l.problems, p)
}

// checkSource checks that the source is there and may be used.
func (l *loader) checkSource(d *delivery) {
	s := d.Spec.Source
	if r := s.Revision; r != nil && r.Semver != "" && !strings.Contains(r.Semver, "${") {
		if err := checkRange(r.Semver); err != nil {
			l.fail(d, "spec.source.revision.semver", rangeHint, "%v", err)
		}
	}
	if s.Chart != "" && !strings.Contains(s.Version, "${") {
		if err := checkRange(s.Version); err != nil {
			l.fail(d, "spec.source.version", rangeHint, "%v", err)
		}
	}
	if s.Name == "" || !l.fleet.usable {
		return
	}
	known, ok := l.fleet.sources[s.Name]
	switch {
	case !ok:
		hint := "the Fleet lists sources under spec.sources"
		if near := strictyaml.Nearest(s.Name, slices.Sorted(maps.Keys(l.fleet.sources))); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		l.fail(d, "spec.source.name", hint, "there is no source %q", s.Name)
	case known.broken:
		// The source has been reported; its Deliveries only learn why they have to wait.
		d.problems = append(d.problems, d.doc.Problem("spec.source.name", "source %q is in error", s.Name))
	case known.Type == v1alpha1.SourceOCI:
		l.fail(d, "spec.source.name", "write a Flux OCIRepository and a Kustomization of it", "source %q is one of artifacts, which only objects of Flux name", s.Name)
	case known.Type == v1alpha1.SourceHelm && s.Chart == "":
		l.fail(d, "spec.source", "write chart and version in place of path", "source %q is one of charts", s.Name)
	case known.Type != v1alpha1.SourceHelm && s.Chart != "":
		l.fail(d, "spec.source.chart", "write path in place of chart and version, or type: helm in the Fleet's source",
			"source %q is a Git repository", s.Name)
	case !known.allows(d.Metadata.Name):
		l.fail(d, "spec.source.name", fmt.Sprintf("the Fleet may add it to the deliveries of source %q", s.Name),
			"source %q may not be used by Delivery %q, only by %s", s.Name, d.Metadata.Name, strings.Join(known.Deliveries, ", "))
	}
}

const rangeHint = "such as ~1.4, >=1.2 <2 or 1.x"

// checkRange checks a range of versions.
func checkRange(text string) error {
	if _, err := semver.NewConstraint(text); err != nil {
		return fmt.Errorf("%q is not a range of versions", text)
	}
	return nil
}

// checkNamespace checks that limits let objects into the Delivery's own namespace.
func (l *loader) checkNamespace(d *delivery) {
	namespace, allowed := d.Spec.Namespace, d.Spec.Limits.Namespaces
	if namespace == "" || len(allowed) == 0 ||
		slices.ContainsFunc(allowed, func(pattern string) bool { return app.Match(pattern, namespace) }) {
		return
	}
	l.fail(d, "spec.namespace", "choose one of those, or extend the limits",
		"spec.limits allow the namespaces %s, not %q", strings.Join(allowed, ", "), namespace)
}

// checkDependencies checks that what a Delivery depends on exists.
func (l *loader) checkDependencies(d *delivery) {
	for i, name := range d.Spec.DependsOn {
		if _, ok := l.fleet.deliveries[name]; ok {
			continue
		}
		hint := ""
		if near := strictyaml.Nearest(name, l.fleet.names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		p := d.doc.Problem(fmt.Sprintf("spec.dependsOn[%d]", i), "there is no Delivery %q", name).WithHint("%s", hint)
		d.problems = append(d.problems, p)
		if l.fleet.Incomplete == nil { // or else it may be in a file that has been reported
			l.problems = append(l.problems, p)
		}
	}
}

// checkCircles finds Deliveries that wait for each other.
func (l *loader) checkCircles() {
	waiting := l.waiting()
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(waiting)) {
		circle := shortestCircle(name, waiting)
		if len(circle) <= 2 || seen[name] { // what waits for itself has been reported
			continue
		}
		d := l.fleet.deliveries[name]
		at := fmt.Sprintf("spec.dependsOn[%d]", slices.Index(d.Spec.DependsOn, circle[1]))
		l.fail(d, at, "remove one of these dependencies", "Deliveries wait for each other: %s", strings.Join(circle, " -> "))
		for _, other := range circle[:len(circle)-1] {
			seen[other] = true
			if other != name {
				l.fleet.deliveries[other].problems = append(l.fleet.deliveries[other].problems, d.problems[len(d.problems)-1])
			}
		}
	}
}

// waiting returns the dependencies of those Deliveries that are in a circle or wait for one: what is left once all are
// taken away, again and again, that wait for nothing.
func (l *loader) waiting() map[string][]string {
	waiting := map[string][]string{}
	for name, d := range l.fleet.deliveries {
		if len(d.Spec.DependsOn) > 0 {
			waiting[name] = d.Spec.DependsOn
		}
	}
	free := func(_ string, dependencies []string) bool {
		return !slices.ContainsFunc(dependencies, func(name string) bool { return waiting[name] != nil })
	}
	for before := -1; before != len(waiting); {
		before = len(waiting)
		maps.DeleteFunc(waiting, free)
	}
	return waiting
}

// shortestCircle returns the shortest way from start back to it, both ends included, or nil.
func shortestCircle(start string, edges map[string][]string) []string {
	from := map[string]string{}
	for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
		for _, next := range edges[queue[0]] {
			if _, seen := from[next]; seen || edges[next] == nil {
				continue
			}
			from[next] = queue[0]
			if next == start {
				circle := []string{start}
				for at := from[start]; at != start; at = from[at] {
					circle = append(circle, at)
				}
				circle = append(circle, start)
				slices.Reverse(circle)
				return circle
			}
			queue = append(queue, next)
		}
	}
	return nil
}

// An obstacle is what keeps a Delivery from a cluster.
type obstacle struct{ field, message, hint string }

// checkOnClusters finds what keeps a Delivery from single clusters. What several have in common is reported once.
func (l *loader) checkOnClusters(d *delivery) {
	var order []obstacle
	clusters := map[obstacle][]string{}
	for _, name := range slices.Sorted(maps.Keys(d.on)) {
		c := l.fleet.clusters[name]
		if len(c.problems) > 0 {
			continue
		}
		for _, o := range l.obstacles(d, c) {
			d.on[name] = append(d.on[name], d.doc.Problem(o.field, "for cluster %q: %s", name, o.message).WithHint("%s", o.hint))
			if clusters[o] == nil {
				order = append(order, o)
			}
			clusters[o] = append(clusters[o], name)
		}
	}
	for _, o := range order {
		l.problems = append(l.problems,
			d.doc.Problem(o.field, "for %s: %s", enumerate(clusters[o]), o.message).WithHint("%s", o.hint))
	}
}

// enumerate names clusters, the first few of many.
func enumerate(names []string) string {
	const most = 3
	var quoted []string
	for _, name := range names[:min(len(names), most)] {
		quoted = append(quoted, fmt.Sprintf("%q", name))
	}
	switch more := len(names) - most; {
	case len(names) == 1:
		return "cluster " + quoted[0]
	case more > 0:
		return fmt.Sprintf("clusters %s and %d more", strings.Join(quoted, ", "), more)
	}
	return "clusters " + strings.Join(quoted, ", ")
}

// obstacles returns what keeps a Delivery from one cluster.
func (l *loader) obstacles(d *delivery, c *cluster) []obstacle {
	name := c.Metadata.Name
	if limits := d.Spec.Limits.Clusters; len(limits) > 0 &&
		!slices.ContainsFunc(limits, func(pattern string) bool { return app.Match(pattern, name) }) {
		return []obstacle{{"spec.clusters", "it is selected, and spec.limits.clusters allow only " + strings.Join(limits, ", "),
			"select fewer clusters, or extend the limits"}}
	}
	_, found := d.fill(c.context())
	for i, dependency := range d.Spec.DependsOn {
		if !l.fleet.deliveries[dependency].isOn(name) {
			found = append(found, obstacle{fmt.Sprintf("spec.dependsOn[%d]", i),
				fmt.Sprintf("it does not get Delivery %q, which would be waited for in vain", dependency),
				"select the same clusters in both"})
		}
	}
	return found
}
