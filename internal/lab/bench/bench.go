// Package bench measures nave as a user would run it, on the lab's clusters, and
// holds what it finds against the bars of the design. A bench is a named
// function that returns figures; where there is a floor, such as a plain loop
// that applies the same objects, it is measured in the same run on the same
// clusters, so that the ratio means something on any machine. The package
// imports nothing of the product: it runs the program, speaks to clusters with
// clients of its own, and counts requests in a proxy of its own.
package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nave.dev/internal/lab"
)

// Options say what is measured and how large. The zero value measures
// everything, as large as the bars are about, in fresh directories.
type Options struct {
	// Names of benches; none means all.
	Names []string
	// Scale multiplies the numbers of clusters, apps and objects; 0 means 1. The
	// bars are about 1.
	Scale float64
	// Bin holds the programs; the directory of the running one unless set.
	Bin string
	// Fleet is the lab that the bench "lab" starts.
	Fleet lab.Fleet
	// Progress, if set, is told in words what is being done.
	Progress func(string)
	// Starting, if set, is told of clusters that start.
	Starting func(lab.Progress)
	// Measured, if set, is given each figure as soon as it is known.
	Measured func(Figure)
}

// Bench is one thing to measure.
type Bench struct {
	Name  string
	About string // one line

	clusters int // of its lab, at scale 1; 0 needs none
	run      func(context.Context, *site) ([]Figure, error)
}

// All returns every bench, in the order in which they run. Those that need a lab
// of the same size share one.
func All() []Bench {
	return []Bench{
		{"cold-1x1000", "1 cluster, 1,000 apps of 4 objects in plain files, from nothing", 1, cold(fleet{apps: 1000, form: plain})},
		{"configmaps", "1 cluster, one app of 10,000 ConfigMaps, from nothing", 1, cold(fleet{apps: 1, objects: 10_000, form: plain})},
		{"chart", "1 cluster, one Helm chart of 300 templates, from nothing", 1, cold(fleet{apps: 1, objects: 300, form: chart})},
		{"argocd-root", "1 cluster, a root Application of 50 others in Kustomize and Helm, from nothing", 1, argoRoot},
		{"argocd-1x1000", "1 cluster, 1,000 Applications of 4 objects, from nothing, and after a commit", 1, argoApplications},
		{"flux-1x1000", "1 cluster, 1,000 Kustomizations of 4 objects, from nothing, and after a commit", 1, fluxKustomizations},
		{"helm-releases", "1 cluster, 200 HelmReleases of a chart of 4 objects, from nothing, and after a commit", 1, helmReleases},
		{"cold-24x50", "24 clusters, 50 apps of 4 objects in Kustomize overlays, from nothing", 24, cold(large)},
		{"readme", "a commit that changes nothing for 24 clusters with 50 apps each", 24, readme},
		{"one-line", "a line in a base that changes one object on each of 24 clusters", 24, oneLine},
		{"drift", "a field changed by hand, one at a time, on 24 clusters", 24, drift},
		{"memory", "the hub with 24 clusters of 50 apps at rest", 24, memory},
		{"restart", "a hub that is stopped and started again", 24, restart},
		{"growth", "how cost grows with clusters, apps, and objects in an app", 24, growth},
		{"render", "nave validate of 24 clusters x 50 apps, and of 5,000 Kustomize directories", 0, render},
		{"argocd-set", "nave validate of an ApplicationSet of 1,200 Applications on 24 clusters", 0, argoSet},
		{"lab", "the lab itself: ready, memory, idle", 0, labItself},
	}
}

// large is the fleet of the benches with 24 clusters.
var large = fleet{apps: 50, form: overlays}

// Select returns the benches of these names, in their own order; all for none.
func Select(names []string) ([]Bench, error) {
	all := All()
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, b := range all {
		known = append(known, b.Name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no bench %q\nhint: one of %s", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(b Bench) bool { return !slices.Contains(names, b.Name) }), nil
}

// Run measures and returns the figures. A bench that fails does not keep the
// others; the error names each that did. When ctx is done, what was started is
// removed before Run returns.
func Run(ctx context.Context, opts Options) (figures []Figure, err error) {
	if opts.Scale == 0 {
		opts.Scale = 1
	}
	if opts.Progress == nil {
		opts.Progress = func(string) {}
	}
	if opts.Measured == nil {
		opts.Measured = func(Figure) {}
	}
	benches, err := Select(opts.Names)
	if err != nil {
		return nil, err
	}
	var here *site
	leave := func() {
		if here != nil {
			err = errors.Join(err, here.close(ctx))
		}
		here = nil
	}
	defer leave()
	for _, b := range benches {
		if ctx.Err() != nil {
			return figures, errors.Join(err, context.Cause(ctx))
		}
		clusters := 0
		if b.clusters > 0 {
			clusters = opts.scaled(b.clusters)
		}
		if here != nil && len(here.clusters) != clusters {
			leave()
		}
		opts.Progress(b.Name + ": " + b.About)
		found, failed := measure(ctx, b, &here, opts, clusters)
		for i := range found {
			found[i].Bench = b.Name
			opts.Measured(found[i])
		}
		figures = append(figures, found...)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("measuring %s: %w", b.Name, failed))
			leave() // what it left is not known
		}
	}
	return figures, err
}

// measure runs one bench in the lab that is there, or in a new one.
func measure(ctx context.Context, b Bench, here **site, opts Options, clusters int) (figures []Figure, err error) {
	if *here == nil {
		if *here, err = newSite(ctx, opts, clusters); err != nil {
			return nil, err
		}
	}
	return b.run(ctx, *here)
}

// scaled returns n by the scale, at least 1.
func (o Options) scaled(n int) int { return max(1, int(float64(n)*o.Scale)) }
