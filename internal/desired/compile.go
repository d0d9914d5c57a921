package desired

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"nave.dev/internal/app"
	"nave.dev/internal/desired/family"
	"nave.dev/internal/desired/overlay"
	"nave.dev/internal/render"
)

// Compiled is what one cluster should hold, and how that was found.
type Compiled struct {
	*app.Assignment
	// Warnings by app: what was rendered otherwise than it may have been meant.
	Warnings map[string][]string
	// Sources by app: where its files are.
	Sources map[string][]app.Source
	// FactsUsed says that what is known of the cluster decided a render.
	FactsUsed bool
	// Trees are the Deliveries whose objects were read for further apps, by name. One
	// that is in error is not among them.
	Trees map[string]Tree
	// Problems are what is wrong with no single app.
	Problems []error
}

// Member is a cluster to compile for.
type Member struct {
	// Facts are what is known of it.
	Facts app.Facts
	// Parent, unless nil, returns the app whose objects asked for an app when the
	// cluster was last given it, or nothing: of two that ask for it now, that one does.
	Parent func(app string) string
	// Early, unless nil, is called with the apps that are rendered while others are
	// not, one call at a time, so that a cluster that has nothing yet need not wait
	// for all of many. The assignment is incomplete by app.ErrRendering.
	Early func(*Compiled)
}

// Compile is CompileFor clusters that wait until all is told.
func (p *Pipeline) Compile(ctx context.Context, pinned *Pinned, clusters []string, facts func(cluster string) app.Facts) (map[string]*Compiled, error) {
	members := make(map[string]Member, len(clusters))
	for _, cluster := range clusters {
		members[cluster] = Member{Facts: facts(cluster)}
	}
	return p.CompileFor(ctx, pinned, members)
}

// clustersAtOnce is how many clusters are compiled at a time. Each app that waits for
// its render costs memory, and so does what is found on the way to an assignment: of
// thousands of clusters these are far more than the assignments.
const clustersAtOnce = 32

// CompileFor returns what clusters should hold of a snapshot. It is pure
// given the snapshot and the facts: an app whose render fails is in the
// assignment with its error. A cluster that the snapshot's fleet does not know is
// an error, unless it may be in a document that cannot be read: then its
// assignment is incomplete and has no apps, and other clusters have theirs.
// Renders that were done before, for any cluster, are not done again. Kinds that
// one of a cluster's apps defines count for all its apps, before the facts. What a
// render refers to in other repositories is pinned in the snapshot when it is
// first found.
func (p *Pipeline) CompileFor(ctx context.Context, pinned *Pinned, members map[string]Member) (map[string]*Compiled, error) {
	var (
		group    sync.WaitGroup
		mu       sync.Mutex
		compiled = make(map[string]*Compiled, len(members))
		failures []error
		work     = &compilation{Pipeline: p, pinned: pinned, members: members, turn: make(chan struct{}, 4*runtime.NumCPU())}
	)
	places := make(chan struct{}, clustersAtOnce)
	for cluster := range members {
		group.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			out, err := work.compile(ctx, cluster)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures = append(failures, err)
				return
			}
			compiled[cluster] = out
		})
	}
	group.Wait()
	p.cutter.Turn()
	p.readings.Turn()
	return compiled, cmp.Or(errors.Join(failures...), context.Cause(ctx))
}

// compilation is one call of Compile.
type compilation struct {
	*Pipeline
	pinned *Pinned
	turn   chan struct{} // a place for each app that is being rendered

	members map[string]Member
	shared  sharedTrees

	mu     sync.Mutex
	opened map[place]func() (tree, error)
	laid   map[string]func() (tree, error) // by what they are made of
}

// compile returns what one cluster should hold.
func (c *compilation) compile(ctx context.Context, cluster string) (*Compiled, error) {
	placement, err := c.pinned.Fleet.Apps(cluster, c.pinned.resolve)
	if err != nil && placement.Incomplete == nil {
		return nil, err
	}
	if err != nil {
		placement.Incomplete = err
	}
	out := newCompiled(cluster, c.pinned.Fleet.Name, placement.Incomplete)
	known := c.facts(cluster)
	apps := c.appsOf(ctx, cluster, placement, known, newEarly(c.members[cluster], out.Assignment, placement))
	if fuller, more := apps.define(known); more {
		apps = c.appsOf(ctx, cluster, placement, fuller, nil) // what does not depend on it is remembered
	}
	out.fill(apps, placement)
	return out, nil
}

// place is a commit of a source.
type place struct{ repository, commit string }

// open returns the files of a source's commit, which many apps have in common.
func (c *compilation) open(ctx context.Context, source app.Source) (tree, error) {
	at := place{source.Repository, source.Commit}
	c.mu.Lock()
	if c.opened == nil {
		c.opened = map[place]func() (tree, error){}
	}
	if c.opened[at] == nil {
		c.opened[at] = sync.OnceValues(func() (tree, error) { return c.tree(ctx, c.pinned, at.repository, at.commit) })
	}
	open := c.opened[at]
	c.mu.Unlock()
	return open()
}

// files returns those of a part. What is made of several trees is made once.
func (c *compilation) files(ctx context.Context, part app.Part) (tree, error) {
	if len(part.Layers) == 0 {
		return c.open(ctx, part.Source)
	}
	made, err := json.Marshal(part.Layers)
	if err != nil {
		return nil, fmt.Errorf("encoding what %s is made of: %w", part.Source.Path, err)
	}
	c.mu.Lock()
	if c.laid == nil {
		c.laid = map[string]func() (tree, error){}
	}
	if c.laid[string(made)] == nil {
		c.laid[string(made)] = sync.OnceValues(func() (tree, error) {
			return overlay.New(part.Layers, func(source app.Source) (overlay.Files, error) { return c.open(ctx, source) })
		})
	}
	lay := c.laid[string(made)]
	c.mu.Unlock()
	return lay()
}

func newCompiled(cluster, fleet string, incomplete error) *Compiled {
	return &Compiled{
		Assignment: &app.Assignment{Cluster: cluster, Fleet: fleet, Incomplete: incomplete},
		Warnings:   map[string][]string{}, Sources: map[string][]app.Source{},
	}
}

// add enters what came of an app.
func (c *Compiled) add(spec app.Spec, r family.Rendered) {
	desired := app.Desired{Name: spec.Name, Options: spec.Options, Err: r.Err}
	if r.Err == nil {
		desired.Bundle = r.Result.Bundle
		c.FactsUsed = c.FactsUsed || r.Result.FactsUsed
		if len(r.Result.Warnings) > 0 {
			c.Warnings[spec.Name] = slices.Concat(c.Warnings[spec.Name], r.Result.Warnings)
		}
	}
	for _, part := range spec.Parts {
		c.Sources[spec.Name] = append(c.Sources[spec.Name], part.Source)
	}
	c.Apps = append(c.Apps, desired)
}

// facts returns what is known of a cluster.
func (c *compilation) facts(cluster string) app.Facts {
	known := c.members[cluster].Facts
	if known.KubernetesVersion == "" {
		known.KubernetesVersion = c.pinned.member(cluster).KubernetesVersion
	}
	return known
}

// renderApps renders the apps of one cluster, in their order. What can be told early
// is.
func (c *compilation) renderApps(ctx context.Context, specs []app.Spec, facts app.Facts, tell *early) []family.Rendered {
	all := make([]family.Rendered, len(specs))
	var group sync.WaitGroup
	for i, spec := range specs {
		group.Go(func() {
			all[i].Result, all[i].Err = c.Render(ctx, spec, facts)
			tell.rendered(spec, all[i])
		})
	}
	group.Wait()
	return all
}

// Render implements family.Fleet: it renders an app when it is its turn.
func (c *compilation) Render(ctx context.Context, spec app.Spec, facts app.Facts) (*render.Result, error) {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	return c.renderApp(ctx, spec, facts)
}

// renderApp renders the parts of an app, and makes one of them.
func (c *compilation) renderApp(ctx context.Context, spec app.Spec, facts app.Facts) (*render.Result, error) {
	results := make([]*render.Result, len(spec.Parts))
	for i, part := range spec.Parts {
		var err error
		if results[i], err = c.renderPart(ctx, spec.Delivery, part, facts); err != nil {
			return nil, err
		}
	}
	return c.cutter.Whole(results)
}

func (c *compilation) renderPart(ctx context.Context, delivery string, part app.Part, facts app.Facts) (*render.Result, error) {
	files, err := c.files(ctx, part)
	if err != nil {
		return nil, err
	}
	request := render.Request{Path: part.Source.Path, Params: part.Render, Facts: facts}
	var result *render.Result
	for {
		others := c.remotes(ctx, c.pinned, delivery)
		request.Files, request.Remotes = others.Whole(files, part.Source.Repository), others
		result, err = c.render.Render(ctx, request)
		if err == nil || !c.fetchMissing(ctx, c.pinned, others.Missing()) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", part.Source.Path, err)
	}
	return result, nil
}
