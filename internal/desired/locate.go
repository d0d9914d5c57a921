package desired

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/chartsource"
	"nave.dev/internal/desired/family"
	"nave.dev/internal/desired/lookup"
	"nave.dev/internal/desired/remotes"
	"nave.dev/internal/dialect/argocd"
	"nave.dev/internal/gitsource/webhook"
	"nave.dev/internal/object"
)

// asksForApps reports whether what came of an app is to be read for further ones.
func asksForApps(spec app.Spec, r family.Rendered) bool {
	return !spec.Dialect.Applied && slices.ContainsFunc(r.Result.Bundle.Objects, func(u *unstructured.Unstructured) bool { return app.AsksForApps(object.Of(u)) })
}

// memberNames are the members of the fleet as a dialect knows them, of which it
// selects a cluster or, in the context of the fleet, who reads a Delivery.
func (c *compilation) memberNames(delivery, cluster string) []asking.Member {
	selected := []string{cluster}
	if cluster == "" {
		selected = c.pinned.Fleet.Readers(delivery)
	}
	members := make([]asking.Member, 0, len(c.pinned.Fleet.Members))
	for _, m := range c.pinned.Fleet.Members {
		members = append(members, asking.Member{Name: m.Name, Labels: m.Labels, Aliases: m.Aliases, Selected: slices.Contains(selected, m.Name)})
	}
	return members
}

// Book implements family.Fleet.
func (c *compilation) Book(ctx context.Context, t *family.Tree) *lookup.Book {
	return &lookup.Book{
		Source: t.Root.Parts[0].Source,
		Resolve: func(at lookup.Repository) (app.Source, error) {
			return c.resolve(ctx, t, app.Origin{Repository: at.URL, Revision: at.Revision})
		},
		Files: func(source app.Source) (fs.FS, error) { return c.open(ctx, source) },
		Asked: func(name string) string { return c.parentOf(t, name) },
	}
}

// parentOf returns the app whose objects asked for one on the clusters of a tree so
// far, if that is one.
func (c *compilation) parentOf(t *family.Tree, name string) (parent string) {
	for cluster, member := range c.members {
		if t.Cluster != "" && t.Cluster != cluster || member.Parent == nil {
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

// Parts implements family.Fleet.
func (c *compilation) Parts(ctx context.Context, t *family.Tree, child *app.Child) ([]app.Part, error) {
	var all []app.Part
	if child.Signed != nil {
		for _, origin := range child.Signed.Looked {
			if _, err := c.resolveSigned(ctx, t, child.Signed, origin); err != nil {
				return nil, fmt.Errorf("resolving %s, which a generator looked into: %w", origin.Repository, err)
			}
		}
	}
	refs := map[string]string{}
	for name, origin := range child.Refs {
		source, ref, err := c.locate(ctx, t, origin)
		if err == nil {
			err = c.checkSigned(ctx, c.pinned, child.Signed, source)
		}
		if err != nil {
			return nil, fmt.Errorf("resolving %s, whose ref is %s: %w", origin.Repository, name, err)
		}
		refs[name] = remotes.Name(source.Repository, ref)
	}
	for _, origin := range child.Origins {
		layers, err := c.layers(ctx, t, origin.Layers)
		if err != nil {
			return nil, err
		}
		var source app.Source
		if len(layers) > 0 {
			source = layers[0].Source
			source.Path = origin.Path
		} else if source, err = c.resolveSigned(ctx, t, child.Signed, origin); err != nil {
			return nil, fmt.Errorf("resolving %s: %w", origin.Repository, err)
		}
		commit, _, _ := strings.Cut(source.Commit, archiveDigest) // of a chart, the version
		part := app.Part{Source: source, Layers: layers, Render: argocd.Fill(origin, commit)}
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
func (c *compilation) resolve(ctx context.Context, t *family.Tree, origin app.Origin) (app.Source, error) {
	source, _, err := c.locate(ctx, t, origin)
	return source, err
}

// resolveSigned is resolve, for what must be signed as a project wants.
func (c *compilation) resolveSigned(ctx context.Context, t *family.Tree, want *app.Signed, origin app.Origin) (app.Source, error) {
	source, err := c.resolve(ctx, t, origin)
	if err == nil {
		err = c.checkSigned(ctx, c.pinned, want, source)
	}
	return source, err
}

// locate is resolve, and returns by which ref the source has the commit: empty for
// its own revision, or for the fleet's commit.
func (c *compilation) locate(ctx context.Context, t *family.Tree, from app.Origin) (app.Source, string, error) {
	delivery := t.Root.Delivery
	if from.Own {
		return c.own(t, from)
	}
	if from.Artifact != nil {
		source, err := c.locateArtifact(ctx, delivery, from)
		return source, "", err
	}
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
	own := slices.ContainsFunc(c.ownURLs(c.pinned), func(url string) bool { return webhook.SameRepository(url, from.Repository) })
	if branch := c.pinned.branch; own && branch != "" && strings.TrimPrefix(ref, branches) == branch {
		ref = ""
	}
	if own && ref != "" && c.opts.Worktree != "" {
		return app.Source{}, "", fmt.Errorf("%q of the fleet repository cannot be told from a directory\nhint: nave plan compares commits", ref)
	}
	source, err := c.source(c.pinned, "")
	if !own {
		same := func(s v1alpha1.Source) bool {
			return s.IsGit() && webhook.SameRepository(s.URL, from.Repository)
		}
		if source, err = c.pinned.Fleet.RemoteSource(delivery, from.Repository, ref, same); err != nil {
			return app.Source{}, "", fmt.Errorf("%w\nhint: if it is the fleet repository itself, add it to the Fleet's spec.urls", err)
		}
	}
	if err != nil {
		return app.Source{}, "", err
	}
	if err := signed(from, source); err != nil {
		return app.Source{}, "", err
	}
	ref = remotes.Prefixed(from.TagPrefix, ref)
	commit, err := c.pinFetched(ctx, source, ref)
	return app.Source{Repository: source.Name, Commit: commit, Path: from.Path}, ref, err
}

// own is locate for the Delivery's own source.
func (c *compilation) own(t *family.Tree, from app.Origin) (app.Source, string, error) {
	at := t.Root.Parts[0].Source
	if at.Chart != "" {
		return app.Source{}, "", fmt.Errorf("the Delivery %q is of a chart, and has no files of its own", t.Root.Delivery)
	}
	source, err := c.source(c.pinned, at.Repository)
	if err == nil {
		err = signed(from, source)
	}
	at.Path = from.Path
	return at, "", err
}

// signed holds a source against what an origin wants of it.
func signed(from app.Origin, source v1alpha1.Source) error {
	if !from.Signed || source.Verify != nil {
		return nil
	}
	return fmt.Errorf("signed commits are asked for, and the Fleet names no signers of %s\nhint: write verify there", describeRepository(source.Name))
}

// cosigned is signed for charts and artifacts.
func cosigned(from app.Origin, source v1alpha1.Source) error {
	if !from.Signed || source.Verify != nil && source.Verify.CosignKeysFile != "" {
		return nil
	}
	return fmt.Errorf("a signature of Cosign is asked for, and the Fleet names no keys of source %q\nhint: write verify: {cosignKeysFile: …} there", source.Name)
}

// layers returns what files are made of, at commits.
func (c *compilation) layers(ctx context.Context, t *family.Tree, of []app.Layer) ([]app.Layer, error) {
	found := slices.Clone(of)
	for i := range found {
		l := &found[i]
		var err error
		if l.Source, err = c.resolve(ctx, t, app.Origin{Repository: l.Repository, Revision: l.Revision, Artifact: l.Artifact, Own: l.Own, Signed: l.Signed, Path: "."}); err != nil {
			return nil, fmt.Errorf("resolving %s: %w", l.Repository, err)
		}
	}
	return found, nil
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
	if err := cosigned(from, source); err != nil {
		return app.Source{}, err
	}
	text := v1alpha1.ChartVersion{Chart: from.Chart, Version: cmp.Or(from.Revision, "*")}.String()
	commit, err := c.pinFetched(ctx, source, text)
	return app.Source{Repository: source.Name, Commit: commit, Path: ".", Chart: from.Chart}, err
}

// locateArtifact returns an artifact of a registry, at the archive that is pinned for
// its tag or range: files of a source of artifacts, or a chart of one of charts.
func (c *compilation) locateArtifact(ctx context.Context, delivery string, from app.Origin) (app.Source, error) {
	find, kind := c.pinned.Fleet.ChartSource, v1alpha1.SourceHelm
	if from.Artifact.Files {
		find, kind = c.pinned.Fleet.ArtifactSource, v1alpha1.SourceOCI
	}
	source, err := find(delivery, from.Repository, func(s v1alpha1.Source) bool {
		return s.Type == kind && chartsource.Same(s.URL, from.Repository)
	})
	if err != nil {
		return app.Source{}, err
	}
	if err := cosigned(from, source); err != nil {
		return app.Source{}, err
	}
	commit, err := c.pinFetched(ctx, source, from.Artifact.String())
	return app.Source{Repository: source.Name, Commit: commit, Path: cmp.Or(from.Path, "."), Chart: from.Artifact.Name}, err
}
