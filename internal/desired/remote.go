package desired

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/fleet"
	"nave.dev/internal/gitsource"
	"nave.dev/internal/gitsource/webhook"
	"nave.dev/internal/render"
)

// remotes shows the renders of one Delivery the other repositories that its kustomizations refer to: sources of the
// fleet that the Delivery may use, each at a commit that is pinned in the snapshot when it is first asked for. It
// reaches no network, since a render has a deadline; what was never fetched is noted instead.
type remotes struct {
	fleet    *fleet.Fleet
	delivery string
	commit   func(source v1alpha1.Source, ref string) (string, error)
	tree     func(source, commit string) (tree, error)

	mu        sync.Mutex
	open      map[string]tree // by name
	unfetched map[string]v1alpha1.Source
}

func (p *Pipeline) remotes(ctx context.Context, pinned *Pinned, delivery string) *remotes {
	return &remotes{
		fleet: pinned.Fleet, delivery: delivery, open: map[string]tree{}, unfetched: map[string]v1alpha1.Source{},
		commit: func(source v1alpha1.Source, ref string) (string, error) { return p.pinRef(ctx, pinned, source, ref) },
		tree:   func(source, commit string) (tree, error) { return p.tree(ctx, pinned, source, commit) },
	}
}

// Remote implements render.Remotes. The name has no commit in it, so that a render is repeated only if a file that it
// read differs.
func (r *remotes) Remote(repository, ref string) (string, error) {
	same := func(s v1alpha1.Source) bool {
		return s.Type != v1alpha1.SourceHelm && webhook.SameRepository(s.URL, repository)
	}
	source, err := r.fleet.RemoteSource(r.delivery, repository, ref, same)
	if err != nil {
		return "", err
	}
	name := source.Name
	if ref != "" {
		name += "@" + url.PathEscape(ref)
	}
	_, err = r.files(name, source, ref)
	return name, err
}

// Files implements render.Remotes. What may not be used is refused here as well: names are no secret.
func (r *remotes) Files(name string) (fs.FS, render.Hashes, error) {
	sourceName, escaped, _ := strings.Cut(name, "@")
	ref, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the ref of %q: %w", name, err)
	}
	source, err := r.fleet.UsableSource(r.delivery, sourceName)
	if err != nil {
		return nil, nil, err
	}
	files, err := r.files(name, source, ref)
	return files, files, err
}

// files returns the files of a source at a ref.
func (r *remotes) files(name string, source v1alpha1.Source, ref string) (tree, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if files, ok := r.open[name]; ok {
		return files, nil
	}
	commit, err := r.commit(source, ref)
	if errors.Is(err, errUnfetched) {
		r.unfetched[source.Name] = source
	}
	if err != nil {
		return nil, err
	}
	files, err := r.tree(source.Name, commit)
	if err == nil {
		r.open[name] = files
	}
	return files, err
}

// missing returns the sources that the renders wanted and that were never fetched.
func (r *remotes) missing() []v1alpha1.Source {
	r.mu.Lock()
	defer r.mu.Unlock()
	var sources []v1alpha1.Source
	for _, source := range r.unfetched {
		sources = append(sources, source)
	}
	return sources
}

// errUnfetched says that a source has to be fetched first.
var errUnfetched = errors.New("the source was not fetched yet")

// pinRef returns the commit of a source that a reference means, which is pinned the first time: asked again of the same
// snapshot, the answer is the same. Without a ref it is the source's own revision.
func (p *Pipeline) pinRef(ctx context.Context, pinned *Pinned, source v1alpha1.Source, ref string) (string, error) {
	key := source.Name + "@" + source.Revision.String()
	revisions := []gitsource.Revision{revision(source.Revision)}
	if ref != "" {
		key, revisions = source.Name+"@ref:"+ref, refRevisions(ref)
	}
	if commit, err, ok := pinned.pinned(key); ok {
		return commit, err
	}
	commit, err := p.resolveRef(ctx, pinned, source, revisions)
	if errors.Is(err, gitsource.ErrNotFetched) {
		_, tried, failure := pinned.attempt(source.Name)
		if !tried {
			return "", errUnfetched
		}
		err = failure
	}
	if errors.Is(err, gitsource.ErrNoRevision) {
		err = fmt.Errorf("source %q has no branch, tag or commit %q", source.Name, ref)
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx) // which says nothing of the reference
	}
	return pinned.pin(key, commit, err)
}

// resolveRef returns the commit of a source at the first of some revisions that it has, if it is signed as it must be.
func (p *Pipeline) resolveRef(ctx context.Context, pinned *Pinned, source v1alpha1.Source, revisions []gitsource.Revision) (string, error) {
	mirror, err := p.mirror(source)
	if err != nil {
		return "", err
	}
	from := origin{mirror: mirror, signers: source.Verify}
	if from.signers != nil {
		if from.files, err = p.tree(ctx, pinned, "", pinned.Snapshot.Fleet); err != nil {
			return "", err
		}
	}
	return from.resolve(ctx, revisions...)
}

var commitHash = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// refRevisions is what a ref may mean, in the order in which Git looks.
func refRevisions(ref string) []gitsource.Revision {
	if commitHash.MatchString(ref) {
		return []gitsource.Revision{{Commit: ref}}
	}
	if name, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
		return []gitsource.Revision{{Branch: name}}
	}
	if name, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		return []gitsource.Revision{{Tag: name}}
	}
	return []gitsource.Revision{{Tag: ref}, {Branch: ref}}
}

// attempt is the one try of a snapshot to fetch a source that was never fetched.
type attempt struct {
	fetching sync.Mutex // held meanwhile
	done     bool       // guarded by the snapshot's pins, like err
	err      error      // why there is nothing to resolve by all the same
}

// attempt returns that of a source, and what came of it so far.
func (p *Pinned) attempt(source string) (a *attempt, done bool, err error) {
	p.pins.Lock()
	defer p.pins.Unlock()
	if p.attempts == nil {
		p.attempts = map[string]*attempt{}
	}
	if a = p.attempts[source]; a == nil {
		a = &attempt{}
		p.attempts[source] = a
	}
	return a, a.done, a.err
}

// fetchMissing fetches the sources that a render wanted and that were never fetched, each once for a snapshot, and
// reports whether there were any: then the render is worth another try. It leaves them to others if the options say so.
func (p *Pipeline) fetchMissing(ctx context.Context, pinned *Pinned, missing []v1alpha1.Source) bool {
	if p.opts.SourcesApart {
		return false
	}
	for _, source := range missing {
		a, _, _ := pinned.attempt(source.Name)
		a.fetching.Lock()
		if _, done, _ := pinned.attempt(source.Name); !done {
			_, err := p.fetch(ctx, source)
			if err == nil {
				err = gitsource.ErrNotFetched // should the mirror still say so
			}
			pinned.pins.Lock()
			a.done, a.err = ctx.Err() == nil, err
			pinned.pins.Unlock()
		}
		a.fetching.Unlock()
	}
	return len(missing) > 0 && ctx.Err() == nil
}
