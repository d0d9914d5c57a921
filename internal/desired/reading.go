package desired

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/app"
	"nave.dev/internal/chartsource"
	"nave.dev/internal/desired/lookup"
	"nave.dev/internal/desired/parts"
	"nave.dev/internal/desired/remotes"
	"nave.dev/internal/dialect/argocd"
	"nave.dev/internal/gitsource/webhook"
	"nave.dev/internal/object"
)

// asksForApps reports whether what came of an app is to be read for further ones.
func asksForApps(spec app.Spec, r rendered) bool {
	return !spec.Dialect.Applied && slices.ContainsFunc(r.result.Bundle.Objects, func(u *unstructured.Unstructured) bool { return argocd.Interprets(object.Of(u)) })
}

// projectsOf returns the AppProjects among the objects of an app that it may have,
// as they count for other Deliveries as well.
func projectsOf(s *parts.Split, name string, options app.Options) (found []argocd.Object) {
	for _, u := range s.Asks {
		id := object.Of(u)
		id.Namespace = cmp.Or(id.Namespace, argocd.Namespace)
		if _, may := options.Permits(id, true, true); u.GetKind() == "AppProject" && may {
			found = append(found, argocd.Object{Manifest: u, App: name})
		}
	}
	return found
}

// reading is what a dialect read, and what it asked meanwhile.
type reading struct {
	answers lookup.Answers
	result  argocd.Result
}

// read asks the dialect which apps the objects of a tree ask for. What was asked
// before is not read again while all that it was read from is the same.
func (c *compilation) read(ctx context.Context, t *family, all []asking, projects []argocd.Object, digests []string) argocd.Result {
	request := argocd.Request{
		Delivery: t.root.Name, Path: t.root.Parts[0].Source.Path, Cluster: t.cluster,
		Members: c.memberNames(t), Options: t.root.Options,
	}
	about, err := json.Marshal(request)
	if err != nil {
		return argocd.Result{Incomplete: fmt.Errorf("encoding what is asked of %q: %w", t.root.Name, err)}
	}
	inputs := [][]byte{about}
	for _, text := range digests {
		inputs = append(inputs, []byte(text))
	}
	inputs = append(inputs, nil)
	for _, a := range all {
		inputs = append(inputs, []byte(a.name), []byte(a.place), []byte(a.asks.Digest))
	}
	key := object.Digest(inputs...)
	book := c.book(ctx, t)
	if known, ok := c.readings.Find(key); ok && book.Same(known.answers, WorktreeCommit) {
		return known.result
	}
	own := map[string]bool{}
	for _, a := range all {
		own[a.name] = true
		for _, u := range a.asks.Asks {
			request.Objects = append(request.Objects, argocd.Object{Manifest: u, App: a.name, Place: a.place})
		}
	}
	for _, o := range projects {
		if o.Foreign = !own[o.App]; o.Foreign {
			request.Objects = append(request.Objects, o)
		}
	}
	request.Files, request.Parent = book, book.Parent
	result := argocd.Read(request)
	if answers, whole := book.Answers(); whole {
		c.readings.Keep(key, reading{answers, result})
	}
	return result
}

// memberNames are the members of the fleet as a dialect knows them.
func (c *compilation) memberNames(t *family) []argocd.Member {
	var readers []string
	if t.cluster == "" {
		readers = c.pinned.Fleet.Readers(t.root.Name)
	}
	members := make([]argocd.Member, 0, len(c.pinned.Fleet.Members))
	for _, m := range c.pinned.Fleet.Members {
		members = append(members, argocd.Member{
			Name: m.Name, Labels: m.Labels, Aliases: m.Aliases,
			Selected: slices.Contains(readers, m.Name) || m.Name == t.cluster,
		})
	}
	return members
}

// book answers what is asked while the objects of a tree are read.
func (c *compilation) book(ctx context.Context, t *family) *lookup.Book {
	return &lookup.Book{
		Resolve: func(at lookup.Repository) (app.Source, error) {
			return c.resolve(ctx, t.root.Delivery, app.Origin{Repository: at.URL, Revision: at.Revision})
		},
		Files: func(source app.Source) (fs.FS, error) { return c.open(ctx, source) },
		Asked: func(name string) string { return c.parentOf(t, name) },
	}
}

// parentOf returns the app whose objects asked for one on the clusters of a tree so
// far, if that is one.
func (c *compilation) parentOf(t *family, name string) (parent string) {
	for cluster, member := range c.members {
		if t.cluster != "" && t.cluster != cluster || member.Parent == nil {
			continue
		}
		switch known := member.Parent(name); {
		case parent == "":
			parent = known
		case known != "" && known != parent:
			return ""
		}
	}
	return parent
}

// parts returns the sources of a child as sources of the fleet, at commits.
func (c *compilation) parts(ctx context.Context, delivery string, child *app.Child) ([]app.Part, error) {
	var all []app.Part
	refs := map[string]string{}
	for name, origin := range child.Refs {
		source, ref, err := c.locate(ctx, delivery, origin)
		if err != nil {
			return nil, fmt.Errorf("resolving %s, whose ref is %s: %w", origin.Repository, name, err)
		}
		refs[name] = remotes.Name(source.Repository, ref)
	}
	for _, origin := range child.Origins {
		source, err := c.resolve(ctx, delivery, origin)
		if err != nil {
			return nil, fmt.Errorf("resolving %s: %w", origin.Repository, err)
		}
		commit, _, _ := strings.Cut(source.Commit, archiveDigest) // of a chart, the version
		part := app.Part{Source: source, Render: argocd.Fill(origin, commit)}
		if len(part.Render.Refs) > 0 {
			part.Render.Refs = refs
		}
		if rules := child.Options.CreateOnly; len(rules) > 0 {
			part.Render.CreateOnly, part.Render.Cluster = rules, child.Cluster
		}
		all = append(all, part)
	}
	if len(all) == 0 {
		return nil, errors.New("it has no sources")
	}
	return all, nil
}

// resolve returns the source of the fleet, or the fleet repository, that an origin
// names, at the commit that is pinned for it.
func (c *compilation) resolve(ctx context.Context, delivery string, origin app.Origin) (app.Source, error) {
	source, _, err := c.locate(ctx, delivery, origin)
	return source, err
}

// locate is resolve, and returns by which ref the source has the commit: empty for
// its own revision, or for the fleet's commit.
func (c *compilation) locate(ctx context.Context, delivery string, from app.Origin) (app.Source, string, error) {
	if strings.HasPrefix(from.Repository, "oci://") && from.Chart == "" {
		from.Repository, from.Chart = path.Split(strings.TrimSuffix(from.Repository, "/"))
	}
	if from.Chart != "" {
		source, err := c.locateChart(ctx, delivery, from)
		return source, "", err
	}
	ref := from.Revision
	if ref == "HEAD" {
		ref = ""
	}
	own := c.isOwn(c.pinned, from.Repository)
	if branch := c.pinned.branch; own && branch != "" && strings.TrimPrefix(ref, branches) == branch {
		ref = ""
	}
	if own && ref != "" && c.opts.Worktree != "" {
		return app.Source{}, "", fmt.Errorf("%q of the fleet repository cannot be told from a directory\nhint: nave plan compares commits", ref)
	}
	source, err := c.source(c.pinned, "")
	if !own {
		same := func(s v1alpha1.Source) bool {
			return s.Type != v1alpha1.SourceHelm && webhook.SameRepository(s.URL, from.Repository)
		}
		if source, err = c.pinned.Fleet.RemoteSource(delivery, from.Repository, ref, same); err != nil {
			return app.Source{}, "", fmt.Errorf("%w\nhint: if it is the fleet repository itself, add it to the Fleet's spec.urls", err)
		}
	}
	if err != nil {
		return app.Source{}, "", err
	}
	ref = remotes.Prefixed(from.TagPrefix, ref)
	commit, err := c.pinFetched(ctx, source, ref)
	return app.Source{Repository: source.Name, Commit: commit, Path: from.Path}, ref, err
}

// pinFetched is pinRef, and fetches what was never fetched.
func (c *compilation) pinFetched(ctx context.Context, source v1alpha1.Source, ref string) (string, error) {
	for {
		commit, err := c.pinRef(ctx, c.pinned, source, ref)
		if !errors.Is(err, remotes.ErrUnfetched) || !c.fetchMissing(ctx, c.pinned, map[string]v1alpha1.Source{remotes.Needed(source, ref): source}) {
			return commit, err
		}
	}
}

// locateChart returns a chart of a source of charts, at the version that is pinned
// for a range.
func (c *compilation) locateChart(ctx context.Context, delivery string, from app.Origin) (app.Source, error) {
	same := func(s v1alpha1.Source) bool {
		return s.Type == v1alpha1.SourceHelm && chartsource.Same(s.URL, from.Repository)
	}
	source, err := c.pinned.Fleet.ChartSource(delivery, from.Repository, same)
	if err != nil {
		return app.Source{}, err
	}
	text := v1alpha1.ChartVersion{Chart: from.Chart, Version: cmp.Or(from.Revision, "*")}.String()
	commit, err := c.pinFetched(ctx, source, text)
	return app.Source{Repository: source.Name, Commit: commit, Path: ".", Chart: from.Chart}, err
}
