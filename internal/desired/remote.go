package desired

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/app"
	"nave.dev/internal/chartsource"
	"nave.dev/internal/desired/acceptance"
	"nave.dev/internal/desired/remotes"
	"nave.dev/internal/gitsource"
	"nave.dev/internal/gitsource/gittree"
)

// remotes returns what the renders of a Delivery see of other repositories.
func (p *Pipeline) remotes(ctx context.Context, pinned *Pinned, delivery string) *remotes.Remotes {
	own, _ := p.source(pinned, "") // there always is
	return &remotes.Remotes{
		Fleet: pinned.Fleet, Delivery: delivery, Own: own, OwnURLs: p.ownURLs(pinned),
		Commit: func(source v1alpha1.Source, ref string) (string, error) { return p.pinRef(ctx, pinned, source, ref) },
		Tree:   func(source, commit string) (remotes.Tree, error) { return p.tree(ctx, pinned, source, commit) },
	}
}

// Unchanged reports whether all that was compiled of a snapshot is still what a newer one has: it resolves there what
// Compile found to refer to other repositories. Whatever was in error counts as changed.
func (p *Pipeline) Unchanged(ctx context.Context, compiled, newer *Pinned) bool {
	if len(compiled.Unresolved) > 0 || compiled.Snapshot.Fleet == WorktreeCommit {
		return false
	}
	for key := range compiled.Sources {
		if _, _, pinned := newer.pinned(key); pinned {
			continue
		}
		name, text, _ := strings.Cut(key, "@")
		ref, isRef := strings.CutPrefix(text, "ref:")
		if _, archive := archiveRequest(text); !isRef && !archive {
			ref = "" // the source's own revision
		}
		source, err := p.source(newer, name)
		if err == nil {
			_, err = p.pinRef(ctx, newer, source, ref)
		}
		if err != nil {
			return false
		}
	}
	return newer.ID() == compiled.ID()
}

// pinRef returns the commit of a source that a reference means, which is pinned the first time: asked again of the same
// snapshot, the answer is the same. Without a ref it is the source's own revision.
func (p *Pipeline) pinRef(ctx context.Context, pinned *Pinned, source v1alpha1.Source, ref string) (string, error) {
	if source.Name == "" && ref == "" {
		return pinned.Snapshot.Fleet, nil
	}
	if request, ok := archiveRequest(ref); ok {
		return p.pinArchive(ctx, pinned, source, ref, request)
	}
	key := source.Name + "@" + source.Revision.String()
	revisions := []gitsource.Revision{revision(source.Revision)}
	if ref != "" {
		key, revisions = source.Name+"@ref:"+ref, remotes.Revisions(ref)
	}
	if commit, err, ok := pinned.pinned(key); ok {
		return commit, err
	}
	commit, err := p.resolveRef(ctx, pinned, source, revisions)
	missing := errors.Is(err, gittree.ErrMissing) // a commit that may be newer than the last fetch
	if errors.Is(err, gitsource.ErrNotFetched) || missing && !p.opts.SourcesApart {
		tried, failure := pinned.attempts.Tried(remotes.Needed(source, ref))
		if !tried {
			return "", remotes.ErrUnfetched
		}
		if !missing || failure != gitsource.ErrNotFetched {
			err = failure
		}
	}
	switch {
	case errors.Is(err, gittree.ErrMissing):
		err = fmt.Errorf("%s has no commit %q\nhint: push it to a branch or tag there", describeRepository(source.Name), ref)
	case errors.Is(err, gitsource.ErrNoRevision):
		err = fmt.Errorf("%s has no branch, tag or commit %q", describeRepository(source.Name), ref)
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx) // which says nothing of the reference
	}
	return pinned.pin(key, commit, err)
}

// pinArchive is pinRef for a chart or artifact. That others have to fetch it first is pinned as well, since Needs tells
// them by it.
func (p *Pipeline) pinArchive(ctx context.Context, pinned *Pinned, source v1alpha1.Source, ref string, request chartsource.Request) (string, error) {
	key := source.Name + "@" + ref
	if archive, err, ok := pinned.pinned(key); ok {
		return archive, err
	}
	files, err := p.tree(ctx, pinned, "", pinned.Snapshot.Fleet)
	if err != nil {
		return "", err
	}
	archive, err := p.resolveArchive(source, files, request)
	if errors.Is(err, chartsource.ErrNotFetched) && !p.opts.SourcesApart {
		tried, failure := pinned.attempts.Tried(remotes.Needed(source, ref))
		if !tried {
			return "", remotes.ErrUnfetched
		}
		err = failure
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	return pinned.pin(key, archive, err)
}

// resolveRef returns the commit of a source at the first of some revisions that it has, if it is signed as it must be.
func (p *Pipeline) resolveRef(ctx context.Context, pinned *Pinned, source v1alpha1.Source, revisions []gitsource.Revision) (string, error) {
	from, err := p.origin(ctx, pinned, source)
	if err != nil {
		return "", err
	}
	return from.Resolve(ctx, revisions...)
}

// origin returns whose signatures the commits of a source must bear.
func (p *Pipeline) origin(ctx context.Context, pinned *Pinned, source v1alpha1.Source) (from acceptance.Origin, err error) {
	from = acceptance.Origin{Source: source.Name, Verify: source.Verify, Now: p.opts.Now()}
	if from.Mirror, err = p.mirror(source); err == nil && from.Verify != nil {
		from.Files, err = p.tree(ctx, pinned, "", pinned.Snapshot.Fleet)
	}
	return from, err
}

// checkSigned returns an error unless what was found in Git is signed as a project wants. Charts are not, as in Argo CD;
// nor can be the files of a directory, which are only looked at.
func (p *Pipeline) checkSigned(ctx context.Context, pinned *Pinned, want *app.Signed, found app.Source) error {
	if want == nil || found.Chart != "" || found.Commit == WorktreeCommit {
		return nil
	}
	source, err := p.source(pinned, found.Repository)
	if err != nil {
		return err
	}
	from, err := p.origin(ctx, pinned, source)
	if err != nil {
		return err
	}
	return pinned.signed.Check(ctx, want, from, found.Commit)
}

func (p *Pipeline) ownURLs(pinned *Pinned) []string {
	return slices.Concat([]string{p.opts.Repository.URL}, p.opts.Repository.URLs, pinned.Fleet.URLs)
}

func describeRepository(source string) string {
	if source == "" {
		return "the fleet repository"
	}
	return fmt.Sprintf("source %q", source)
}

// fetchMissing fetches what a render wanted and was never fetched, each once for a snapshot, and reports whether there
// was anything: then the render is worth another try. It leaves it to others if the options say so.
func (p *Pipeline) fetchMissing(ctx context.Context, pinned *Pinned, missing map[string]v1alpha1.Source) bool {
	if p.opts.SourcesApart {
		return false
	}
	for what, source := range missing {
		pinned.attempts.Once(ctx, what, func() error {
			_, err := p.fetch(ctx, source)
			return cmp.Or(err, gitsource.ErrNotFetched) // should the mirror still say so
		})
	}
	return len(missing) > 0 && ctx.Err() == nil
}
